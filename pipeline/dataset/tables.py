"""Tables between stages: their columns, types and checks.

A table is a pandas frame with the columns that its :class:`Table` names, in that order, and group columns after them,
each prefixed ``group_``. Tables are written as Parquet without an index and without anything that differs from run to
run, so that the same rows give the same bytes. A table with outlines on the ground is GeoParquet, so that geopandas and
QGIS open it as it is; in memory an outline is a text (WKT).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ..utils.errors import StoreError, first_line
from .parquet import checked

GROUP_PREFIX = "group_"
CHUNK = 1 << 14
ROW_GROUP = 1 << 16
"""Rows that are written, and decoded, together."""

# Tables of millions of rows come and go; the default pool would keep what they took.
pa.set_memory_pool(pa.system_memory_pool())


@dataclass(frozen=True)
class Table:
    """A table of a fixed form.

    Attributes:
        name: Its name in messages.
        columns: Pandas dtype of each column. `Int64`, `Float64` and `string` may hold missing values, others may not.
        outline: The column that holds outlines in longitude and latitude, as WKT, if there is one.
        optional: Pandas dtype of each column that rows may lack; it is then filled with missing values.
    """

    name: str
    columns: dict[str, str]
    outline: str | None = None
    optional: dict[str, str] = field(default_factory=dict)

    def frame(self, rows: list[dict[str, object]] | pd.DataFrame) -> pd.DataFrame:
        """Return rows as a frame of this table: columns ordered and typed, group columns as strings.

        Raises:
            StoreError: If a column is missing, unknown, or holds a value of another type.
        """
        frame = pd.DataFrame(rows) if not isinstance(rows, pd.DataFrame) else rows
        if frame.empty and not len(frame.columns):
            frame = pd.DataFrame(columns=list(self.columns))
        groups = sorted(column for column in frame.columns if column.startswith(GROUP_PREFIX))
        missing = [column for column in self.columns if column not in frame.columns]
        fixed = self.columns | self.optional
        unknown = [column for column in frame.columns if column not in fixed and column not in groups]
        if missing or unknown:
            raise StoreError(f"the {self.name} table lacks {missing} and has unknown columns {unknown}")
        try:
            typed = {
                column: frame[column].astype(cast("Any", dtype))
                if column in frame
                else pd.Series(pd.NA, index=frame.index, dtype=cast("Any", dtype))
                for column, dtype in fixed.items()
            }
        except (TypeError, ValueError) as error:
            raise StoreError(f"the {self.name} table has a value of another type: {error}") from None
        typed |= {column: frame[column].astype("string") for column in groups}
        return pd.DataFrame(typed).reset_index(drop=True)

    def write(self, rows: list[dict[str, object]] | pd.DataFrame, path: Path) -> pd.DataFrame:
        """Check rows, write them to ``path`` as Parquet and return the frame."""
        frame = self.frame(rows)
        starts = range(0, max(1, len(frame)), ROW_GROUP)
        pieces = (self._arrow(frame.iloc[start : start + ROW_GROUP]) for start in starts)
        write_pieces(self._arrow(frame.iloc[:0]).schema, pieces, path)
        return frame

    def _arrow(self, frame: pd.DataFrame) -> pa.Table:
        """Return rows of this table as they are written."""
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        return _with_outlines(table, self.outline) if self.outline else table

    def read(self, path: Path) -> pd.DataFrame:
        """Read and check a table.

        Raises:
            StoreError: If the file is no such table.
        """
        try:
            table = pq.read_table(checked(path))
            if self.outline and self.outline in table.column_names:
                table = _with_texts(table, self.outline)
            return self.frame(table.to_pandas())
        except StoreError as error:
            raise StoreError(f"{path}: {error}") from None
        except (pa.ArrowException, shapely.errors.ShapelyError, OSError, ValueError, TypeError, KeyError) as error:
            reason = first_line(error, 160)
            raise StoreError(f"the {self.name} table {path} cannot be read: {reason}") from None

    def read_bare(self, path: Path) -> pd.DataFrame:
        """Read and check a table without its outlines: a column of missing values, in a third of the time."""
        names = [name for name in pq.read_schema(checked(path)).names if name != self.outline]
        frame = pq.read_table(path, columns=names).to_pandas()
        return self.frame(frame.assign(**{self.outline: None}) if self.outline else frame)

    def read_columns(self, path: Path, columns: Sequence[str], repeated: Collection[str] = ()) -> pd.DataFrame:
        """Return some columns of a table, typed: memory is that of the columns read.

        Optional columns that the file lacks are filled with missing values.

        Args:
            path: The file.
            columns: The columns.
            repeated: Those of texts that many rows share; they are read as categories, in a few bytes a row.
        """
        names = list(dict.fromkeys(columns))
        absent = set(self.optional) - set(pq.read_schema(path).names)
        present = [name for name in names if name not in absent]
        frame = pq.read_table(checked(path), columns=present, read_dictionary=list(repeated)).to_pandas()
        frame = frame.assign(**{name: pd.NA for name in names if name in absent})[names]
        dtypes = self.columns | self.optional | dict.fromkeys(repeated, "category")
        typed: pd.DataFrame = frame.astype({name: cast("Any", dtypes.get(name, "string")) for name in frame})
        return typed

    def read_repeated(self, path: Path, column: str) -> npt.NDArray[np.object_]:
        """Read a column of texts that many rows share as objects (N,), equal ones as one object.

        A million chips of ten scenes then hold ten texts.
        """
        texts, codes = self.read_codes(path, column)
        return np.array([*texts, None], dtype=object)[codes]

    def read_codes(self, path: Path, column: str) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Read a column of texts as its different texts and the code (N,) of each row's, -1 where it has none."""
        table = pq.read_table(path, columns=[column], read_dictionary=[column])
        chunks = table[column].unify_dictionaries().chunks
        codes = [chunk.indices.fill_null(-1).to_numpy() for chunk in chunks]
        return chunks[0].dictionary.to_pylist() if chunks else [], np.concatenate([np.zeros(0, np.int32), *codes])

    def read_outlines(self, path: Path) -> pa.ChunkedArray:
        """Read the outlines of a table as WKB; null where a row has none."""
        return pq.read_table(checked(path), columns=[self.outline]).column(0)


def write_pieces(schema: pa.Schema, pieces: Iterable[pa.Table], path: Path) -> None:
    """Write a table that comes in pieces of :data:`ROW_GROUP` rows, of which one is in memory at a time."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in pieces:
            writer.write_table(piece, row_group_size=ROW_GROUP)


def _with_outlines(table: pa.Table, column: str) -> pa.Table:
    """Return a table with its WKT column as GeoParquet 1.1 requires: WKB, and a description; no CRS means lon/lat."""
    position = table.column_names.index(column)
    texts = table[column].combine_chunks()
    # Some at a time: as polygons they take far more memory than as text.
    chunks = (texts.slice(start, CHUNK).to_pylist() for start in range(0, len(texts), CHUNK))
    shapes = [pa.array(shapely.to_wkb(shapely.from_wkt(chunk)), pa.binary()) for chunk in chunks]
    described = {"encoding": "WKB", "geometry_types": ["Polygon"]}
    geo = {"version": "1.1.0", "primary_column": column, "columns": {column: described}}
    table = table.set_column(position, column, pa.chunked_array(shapes, pa.binary()))
    return table.replace_schema_metadata({"geo": json.dumps(geo)})


def _with_texts(table: pa.Table, column: str) -> pa.Table:
    """Return a table with its WKB column as WKT, to a ten-millionth of a degree (a centimetre)."""
    position = table.column_names.index(column)
    shapes = table[column].combine_chunks()
    chunks = (shapes.slice(start, CHUNK).to_pylist() for start in range(0, len(shapes), CHUNK))
    texts = [pa.array(shapely.to_wkt(shapely.from_wkb(chunk), rounding_precision=7), pa.string()) for chunk in chunks]
    return table.set_column(position, column, pa.chunked_array(texts, pa.string()))


SCENES = Table(
    "scene",
    {
        "scene_id": "string",  # unique over all sources
        "source": "string",  # name of the source
        "path": "string",  # absolute, or `ingest/<digest>/<file>` relative to the store
        "item": "Int64",  # position within a file that holds many scenes (a JSON of chips), else missing
        "width": "Int64",
        "height": "Int64",
        "crs": "string",  # WKT or EPSG code, missing without georeference
        "transform": "string",  # JSON list of the six affine coefficients a..f, missing without georeference
        "gsd_m": "Float64",
        "bands": "string",  # JSON list of the band numbers that are read, from 1
        "dtype": "string",
        "nodata": "Float64",
        "mask": "string",  # how valid pixels are known: `nodata`, `alpha`, `mask`, or missing
        "sha256": "string",
        "licence": "string",
        "simulated": "boolean",
        "quarantined": "string",  # the reason, or missing
    },
)

LABELS = Table(
    "label",
    {
        "label_id": "string",
        "scene_id": "string",
        "class": "string",
        "kind": "string",  # `box`, `point` or `scene` (covers a ready-cut chip)
        "row_min": "float64",  # pixel edges in the scene's own grid; a point has min == max
        "col_min": "float64",
        "row_max": "float64",
        "col_max": "float64",
        "origin": "string",  # file and line or feature
        "quarantined": "string",
    },
    # WKT in the scene's pixels (x right, y down): oriented boxes, polygons and masks; missing where the box says all.
    optional={"outline": "string"},
)

OBJECT_COLUMNS = {
    "mask_shard": "string",  # `<stage>/<digest>/<file>.npy` of masks (N, H, W); missing where a chip has no mask
    "mask_position": "Int64",  # row in that shard, and in the two of the surrounding window
    "window_shard": "string",  # surrounding windows (N, 2 S, 2 S, C) of the object's scene, with the chip in the middle
    "window_mask_shard": "string",  # their masks (N, 2 S, 2 S)
    "mask_reason": "string",  # why a labelled chip has no mask
    "object_row": "Float64",  # centre of the object, in pixels from the chip's top left corner (pixel edges)
    "object_col": "Float64",
    "angle_deg": "Float64",  # of the long axis, from the columns towards the rows, -90 to 90; missing without an axis
    "length_px": "Float64",  # extent along the axis
    "width_px": "Float64",  # extent across it
    "neighbours": "Int64",  # other labelled objects that the chip shows
}
"""The mask and the pose of the object that a chip is labelled for; tables of runs without masks lack them."""

UNLABELLED = "(unlabelled)"
"""Class of windows that no label is known of: of scenes without labels, or drawn for composites alone."""
UNLABELLED_ROLE = "unlabelled"
"""Their role in a split that may use them, which is as backgrounds of composites alone."""
EXTRA_KINDS = ("extra_random", "extra_textured")
"""Kinds of those that are windows of labelled scenes, away from every object."""

CHIPS = Table(
    "chip",
    {
        "chip_id": "string",
        "scene_id": "string",
        "class": "string",
        "kind": "string",  # label, random, textured, near_miss, grid, unlabelled, extra_random or _textured, synthetic
        "label_id": "string",
        "row": "Int64",  # top left pixel in the scene at the chips' GSD; may be negative at an edge
        "col": "Int64",
        "valid_fraction": "float64",
        "footprint": "string",  # WKT polygon in lon/lat, missing without georeference
        "shard": "string",  # `<stage>/<digest>/<file>.npy` relative to the store
        "position": "Int64",  # row in the shard
    },
    outline="footprint",
    optional=OBJECT_COLUMNS,
)

SYNTHETIC = Table(
    "synthetic chip",
    CHIPS.columns
    | {
        "split": "string",
        "seed": "Int64",  # seed of this chip's z
        "label_score": "float64",  # probability of its class, by a classifier of the split's training chips
        "nearest_distance": "float64",  # to the nearest training chip, in the feature space
        "accepted": "boolean",
        "reason": "string",  # why not
    },
    outline="footprint",
    # The real chip that a composite lies on, perhaps in another orientation; missing where it took an object's place.
    optional=OBJECT_COLUMNS | {"background_id": "string"},
)


def write_synthetic(columns: Mapping[str, Any], path: Path) -> None:
    """Write a table of synthetic chips from the columns that differ; a synthetic chip has no place and no scene."""
    frame = pd.DataFrame(dict(columns))
    absent = {name: pd.array([pd.NA] * len(frame)) for name in ("label_id", "row", "col", "footprint")}
    SYNTHETIC.write(frame.assign(kind="synthetic", valid_fraction=1.0, **absent), path)


SPLIT = Table("split", {"chip_id": "string", "role": "string", "unit": "string"})
"""role: `train`, `validation`, `test`, `unused` (outside the drawn fraction), `dropped` (a leak) or `unlabelled` (of
the class `(unlabelled)`: objects may be composed on it)."""

PREDICTIONS = Table(
    "prediction",
    {
        "fold": "Int64",
        "fraction": "float64",
        "replicate": "Int64",
        "arm": "string",
        "role": "string",  # `test` or `validation`
        "chip_id": "string",
        "unit": "string",  # the test group that the bootstrap resamples
        "class": "string",  # true class
        "predicted": "string",  # class after the threshold from validation
        "score": "float64",  # calibrated probability of not being background
        "threshold": "float64",
    },
)
