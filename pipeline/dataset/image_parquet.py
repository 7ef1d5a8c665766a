"""Chips in one Parquet file that the Hugging Face Hub, `datasets`, pandas and DuckDB read as they are.

Chips that PNG holds are a column ``image`` of encoded pictures, as `datasets` writes its image feature; others are a
column ``chip`` of nested lists, which it reads as arrays. No column has a type of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from . import png

ROW_GROUP = 1024
"""Rows that are written together."""
_TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}


def is_picture(dtype: str, bands: int) -> bool:
    """Return whether chips are written as pictures: what Pillow opens without loss, bytes or one band of 16 bits."""
    return png.can_hold(dtype, bands) and (dtype == "uint8" or bands == 1)


class ImageParquet:
    """A Parquet file of chips with their class and further columns, written piece by piece."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        dtype: str,
        classes: Sequence[str],
        columns: Mapping[str, str],
        about: Mapping[str, str],
    ) -> None:
        """Begin the file.

        Args:
            path: The file.
            shape: (H, W, C) of a chip.
            dtype: Of the chips.
            classes: Class names by number.
            columns: Further columns with their type: ``string``, ``int64`` or ``float64``.
            about: Texts that the file's metadata hold.
        """
        self.classes, self.picture = tuple(classes), is_picture(dtype, shape[2])
        if self.picture:
            chip = pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
            feature: dict[str, Any] = {"_type": "Image"}
        else:
            nested = pa.list_(pa.list_(pa.list_(pa.from_numpy_dtype(np.dtype(dtype)))))
            chip, feature = pa.field("chip", nested), {"_type": "Array3D", "shape": list(shape), "dtype": dtype}
        values = {name: {"dtype": kind, "_type": "Value"} for name, kind in {"class": "string", **columns}.items()}
        label = {"names": list(classes), "_type": "ClassLabel"}
        features = {chip.name: feature, "label": label, **values}
        fields = [chip, ("label", pa.int64()), ("class", pa.string())]
        fields += [(name, _TYPES[kind]) for name, kind in columns.items()]
        metadata = {"huggingface": json.dumps({"info": {"features": features}}), **about}
        self.schema = pa.schema(fields, metadata=metadata)
        self._texts = {name.capitalize(): text for name, text in about.items()}
        self._writer = pq.ParquetWriter(path, self.schema, compression="zstd")
        self._waiting: list[pa.Table] = []

    def add(
        self, chips: npt.NDArray[Any], labels: npt.NDArray[np.int64], columns: Mapping[str, Any], names: Sequence[str]
    ) -> None:
        """Add chips (N, H, W, C) with class numbers (N,), further columns, and names of pictures (N,)."""
        if self.picture:
            contents = png.encode(chips, self._texts)
            first: Any = [{"bytes": content, "path": name} for content, name in zip(contents, names, strict=True)]
        else:
            first = chips.tolist()
        rest = [columns[name] for name in self.schema.names[3:]]
        arrays = [first, labels, [self.classes[label] for label in labels], *rest]
        pieces = [
            pa.array(array, field.type, from_pandas=True) for array, field in zip(arrays, self.schema, strict=True)
        ]
        self._waiting.append(pa.table(pieces, schema=self.schema))
        if sum(map(len, self._waiting)) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = []

    def close(self) -> None:
        """Write what waits, and end the file."""
        self._flush()
        self._writer.close()
