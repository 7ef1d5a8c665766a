"""Hostile and broken files, generated: mutations of sound ones, and traps by hand.

:func:`batches` yields projects of many such files each; how a run over them has to end is in ``hostile_check.py``.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from PIL import Image
from rasterio.transform import from_origin

SIDE = 48
WORDS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000)
VRT = """<VRTDataset rasterXSize="48" rasterYSize="48"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="0">{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""


@dataclass
class Batch:
    """A project of hostile files of one kind.

    Attributes:
        kind: What they are.
        config: The configuration of the run, as text; the folder of the files is ``in``.
        files: Content of each file below the project's folder.
        hostile: The hostile ones among them.
        command: What is run.
    """

    kind: str
    config: str
    files: dict[str, bytes] = field(default_factory=dict)
    hostile: list[str] = field(default_factory=list)
    command: tuple[str, ...] = ("run", "ingest", "--config", "hostile.yaml")

    def write(self, folder: Path) -> Path:
        """Write the project."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (folder / "hostile.yaml").write_text(self.config)
        return folder


# ------------------------------------------------------------------------------------------------------- mutations


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One random change of binary data, or several."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        size = max(1, len(out))
        at = int(rng.integers(0, size))
        # Headers are small and decide most: every other change is made there.
        at = at % 64 if rng.random() < 0.5 else at
        length = int(rng.integers(1, 65))
        match int(rng.integers(0, 8)):
            case 0:
                del out[at:]
            case 1:
                if out:
                    out[min(at, len(out) - 1)] ^= 1 << int(rng.integers(0, 8))
            case 2:
                out[at : at + length] = bytes(length)
            case 3:
                out[at : at + length] = rng.bytes(length)
            case 4:
                out[at:at] = rng.bytes(length)
            case 5:
                word = WORDS[int(rng.integers(0, len(WORDS)))]
                out[at : at + 4] = struct.pack("<>"[int(rng.integers(0, 2))] + "I", word)
            case 6:
                del out[at : at + length]
            case 7:
                out[at:at] = out[: min(len(out), 4096)]
    return bytes(out)


ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 10**400, -1e308, float("nan"), float("inf"), "", "x" * 5000, "../../secret/canary.tif",
    "/etc/hostname", "\u202e\u0000", "=cmd|' /C calc'!A0", "<script>alert(1)</script>", [], {}, [[[[[]]]]], {"a": {}},
)  # fmt: skip


def odd_json(data: Any, rng: np.random.Generator) -> Any:
    """The same JSON data with a value or key somewhere replaced, removed or repeated."""
    if isinstance(data, dict) and data and rng.random() < 0.85:
        key = list(data)[int(rng.integers(0, len(data)))]
        match int(rng.integers(0, 5)):
            case 0:
                return {name: value for name, value in data.items() if name != key}
            case 1:
                return data | {key: ODD_VALUES[int(rng.integers(0, len(ODD_VALUES)))]}
            case _:
                return data | {key: odd_json(data[key], rng)}
    if isinstance(data, list) and data and rng.random() < 0.85:
        at = int(rng.integers(0, len(data)))
        return [*data[:at], odd_json(data[at], rng), *data[at + int(rng.integers(0, 2)) :]]
    return ODD_VALUES[int(rng.integers(0, len(ODD_VALUES)))]


def odd_text(text: str, rng: np.random.Generator) -> bytes:
    """Text with odd bytes, long lines, odd numbers."""
    words = ["nan", "1e999", "-1", "0x10", "9" * 400, "٣", "\x00", "\ud7ff", "=1+1", '"', ",,,,", "\r", "\u2028", "a b"]
    parts = text.split(" " if " " in text else ",")
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(parts)))
        parts[at] = words[int(rng.integers(0, len(words)))]
    out = (" " if " " in text else ",").join(parts).encode("utf-8", "replace")
    match int(rng.integers(0, 5)):
        case 0:
            return out.decode().encode("utf-16")
        case 1:
            return b"\xef\xbb\xbf" + out
        case 2:
            return mutated(out, rng)
        case 3:
            return out * 200
    return out


# ----------------------------------------------------------------------------------------------------- sound files


def pixels(seed: int, bands: int = 3, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, (SIDE, SIDE, bands)).astype(dtype)


def tif(seed: int, **profile: Any) -> bytes:
    """A GeoTIFF of 48 x 48 pixels, 3 m, in UTM."""
    image = pixels(seed, profile.pop("bands", 3), profile.pop("dtype", "uint8"))
    given = {
        "driver": "GTiff", "crs": "EPSG:32610", "transform": from_origin(550_000, 4_180_000, 3, 3),
        "height": SIDE, "width": SIDE, "count": image.shape[2], "dtype": image.dtype,
    }  # fmt: skip
    with rasterio.MemoryFile() as memory:
        with memory.open(**(given | profile)) as file:
            file.write(image.transpose(2, 0, 1))
        return bytes(memory.read())


def picture(seed: int, form: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels(seed)).save(out, form)
    return out.getvalue()


def features(count: int = 3) -> dict[str, Any]:
    ring = [[550_010, 4_179_990], [550_040, 4_179_990], [550_040, 4_179_960], [550_010, 4_179_990]]
    return {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "EPSG:32610"}},
        "features": [
            {"type": "Feature", "properties": {"class": "ship"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
            for _ in range(count)
        ],
    }


def coco(names: list[str]) -> dict[str, Any]:
    images = [{"id": at, "file_name": name, "width": SIDE, "height": SIDE} for at, name in enumerate(names)]
    boxes = [{"id": at, "image_id": at, "category_id": 1, "bbox": [4, 4, 9, 9]} for at in range(len(names))]
    return {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ship"}]}


def voc() -> str:
    box = "<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
    size = f"<size><width>{SIDE}</width><height>{SIDE}</height></size>"
    return f"<annotation>{size}<object><name>ship</name>{box}</object></annotation>"


def shipsnet(count: int = 4) -> dict[str, Any]:
    chips = [pixels(seed)[:16, :16].transpose(2, 0, 1).reshape(-1).tolist() for seed in range(count)]
    return {
        "data": chips,
        "labels": [at % 2 for at in range(count)],
        "locations": [[-122.3, 37.7 + at / 100] for at in range(count)],
        "scene_ids": [f"s{at}" for at in range(count)],
    }


def parquet(count: int = 3) -> bytes:
    import geopandas
    from shapely.geometry import box

    shapes = [box(550_010, 4_179_960, 550_040, 4_179_990)] * count
    out = io.BytesIO()
    geopandas.GeoDataFrame({"class": ["ship"] * count}, geometry=shapes, crs="EPSG:32610").to_parquet(out)
    return out.getvalue()


# ----------------------------------------------------------------------------------------------------------- traps


def png_bomb(side: int) -> bytes:
    """A PNG of a few hundred kilobytes that claims side x side pixels and holds them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def huge_tif() -> bytes:
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=100_000, height=100_000, count=3, dtype="uint8", tiled=True, blockxsize=512,
            blockysize=512, sparse_ok=True, bigtiff="YES",
        ):  # fmt: skip
            pass
        return bytes(memory.read())


def pointing_tif(seed: int, target: Path) -> bytes:
    """A GeoTIFF whose metadata say that its overviews lie in another file."""
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", width=SIDE, height=SIDE, count=3, dtype="uint8") as file:
            file.write(pixels(seed).transpose(2, 0, 1))
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(target))
            file.update_tags(1, SOURCE=VRT.format(target))
        return bytes(memory.read())


def rows_bomb(rows: int) -> bytes:
    """A Parquet of some kilobytes that holds so many rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 10_000]))
    out = io.BytesIO()
    pq.write_table(pa.table({"class": text, "geometry": text.cast(pa.dictionary(pa.int32(), pa.binary()))}), out)
    return out.getvalue()


# --------------------------------------------------------------------------------------------------------- batches


def scenes_config(source: dict[str, Any], **ingest: Any) -> str:
    """The configuration of a run over one source."""
    return yaml.safe_dump({"name": "hostile", "ingest": {"sources": [{"path": "in", **source}], **ingest}})


def good_scenes(batch: Batch, count: int, suffix: str = ".tif") -> list[str]:
    names = [f"s{at}{suffix}" for at in range(count)]
    for at, name in enumerate(names):
        batch.files[f"in/{name}"] = tif(at) if suffix == ".tif" else picture(at, "PNG")
    return names


def of_images(kind: str, count: int, first: int, canary: Path) -> Batch:
    """Hostile images of one format, each with a sound label file."""
    batch = Batch(kind, scenes_config({"type": "yolo"}, max_pixels=50_000_000))
    profiles: list[dict[str, Any]] = [
        {}, {"compress": "deflate"}, {"compress": "lzw", "predictor": 2},
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"dtype": "uint16"}, {"dtype": "float32", "compress": "zstd"}, {"interleave": "band"}, {"compress": "jpeg"},
        {"nodata": 0}, {"bands": 4, "compress": "packbits"},
    ]  # fmt: skip
    for number in range(first, first + count):
        rng = np.random.default_rng([number, zlib.crc32(kind.encode())])
        sound = tif(number, **profiles[number % len(profiles)]) if kind == "tiff" else picture(number, kind.upper())
        name = f"h{number}.{'tif' if kind == 'tiff' else kind}"
        batch.files[f"in/{name}"] = mutated(sound, rng)
        batch.hostile.append(f"in/{name}")
        batch.files[f"in/h{number}.txt"] = b"0 0.5 0.5 0.2 0.2"
    batch.files["in/good.tif"], batch.files["in/good.txt"] = tif(9999), b"0 0.5 0.5 0.2 0.2"
    return batch


def of_traps(canary: Path) -> Batch:
    """Images that stand for other files, or unpack to far more than they are."""
    batch = of_images("tiff", 0, 0, canary)
    batch.kind = "image traps"
    traps = {
        "bomb.png": png_bomb(40_000),
        "bomb_below_the_limit.png": png_bomb(7_000),
        "huge.tif": huge_tif(),
        "overviews.tif": pointing_tif(1, canary),
        "vrt.tif": VRT.format(canary).encode(),
        "vrt.png": VRT.format(canary).encode(),
        "vsi.tif": VRT.format(f"/vsicurl/http://127.0.0.1:9/{canary.name}").encode(),
        "wms.tif": b"<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>",
        "gti.tif": f"<GDALTileIndexDataset><IndexDataset>{canary}</IndexDataset></GDALTileIndexDataset>".encode(),
        "zip.tif": b"PK\x03\x04" + bytes(60),
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/hostname'/></svg>",
        "long" + "g" * 200 + ".tif": b"II*\x00" + bytes(20),
        "<img src=x onerror=alert(1)>.tif": b"II*\x00" + bytes(20),
        "=HYPERLINK(1).tif": b"II*\x00" + bytes(20),
        "new\nline.tif": b"II*\x00" + bytes(20),
    }  # fmt: skip
    for name, data in traps.items():
        batch.files[f"in/{name}"] = data
        batch.hostile.append(f"in/{name}")
    # Side-car files that name other files, beside a sound scene.
    batch.files["in/good.tif.msk"] = VRT.format(canary).encode()
    batch.files["in/good.tif.ovr"] = VRT.format(canary).encode()
    batch.files["in/good.tif.aux.xml"] = f"<PAMDataset><Metadata><MDI>{canary}</MDI></Metadata></PAMDataset>".encode()
    return batch


def of_own_labels(kind: str, count: int, first: int, canary: Path) -> Batch:
    """A hostile label file for each of many sound scenes."""
    source, suffix, sound = {
        "yolo": ("yolo", ".txt", "0 0.5 0.5 0.2 0.2"),
        "voc": ("voc", ".xml", voc()),
        "geojson": ("geojson", ".geojson", ""),
        "geoparquet": ("geojson", ".parquet", ""),
    }[kind]
    batch = Batch(kind, scenes_config({"type": source}))
    entities = (
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file://{}">]><annotation><object><name>&x;</name></object></annotation>',
        '<!DOCTYPE a [<!ENTITY x "{}">]><annotation>' + "&x;" * 1000 + "</annotation>",
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/{}"><annotation></annotation>',
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY % p SYSTEM "file://{}"> %p;]><annotation/>',
    )
    for number in range(first, first + count):
        rng = np.random.default_rng([number, zlib.crc32(kind.encode())])
        batch.files[f"in/h{number}.tif"] = tif(number)
        name = f"in/h{number}{suffix}"
        if kind == "geojson":
            data = json.dumps(odd_json(features(), rng)).encode()
            data = mutated(data, rng) if number % 5 == 0 else b"[" * 100_000 if number % 29 == 3 else data
        elif kind == "geoparquet":
            data = rows_bomb(20_000_000) if number % 20 == 7 else mutated(parquet(), rng)
        elif kind == "voc" and number % 6 < 4:
            data = entities[number % 6].format(canary).encode() if number % 12 < 6 else odd_text(sound, rng)
        else:
            data = odd_text(sound, rng) if kind == "yolo" else mutated(sound.encode(), rng)
        batch.files[name] = data
        batch.hostile.append(name)
    good = {
        "yolo": sound.encode(),
        "voc": sound.encode(),
        "geojson": json.dumps(features()).encode(),
        "geoparquet": parquet(),
    }
    batch.files["in/good.tif"], batch.files[f"in/good{suffix}"] = tif(9999), good[kind]
    return batch


def of_shared_labels(kind: str, count: int, first: int, canary: Path) -> Batch:
    """Many hostile label files for the same scenes, beside a sound one."""
    batch = Batch(kind, "")
    names = good_scenes(batch, 3)
    table = "file,x_min,y_min,x_max,y_max,class\n" + "".join(f"{name},4,4,12,12,ship\n" for name in names)
    suffix = {"coco": "json", "csv": "csv"}[kind]
    for number in range(first, first + count):
        rng = np.random.default_rng([number, zlib.crc32(kind.encode())])
        name = f"labels/h{number}.{suffix}"
        if kind == "coco":
            data = odd_json(coco([*names, str(canary), f"../{canary.name}"]), rng)
            batch.files[name] = (
                mutated(json.dumps(data).encode(), rng) if number % 4 == 0 else json.dumps(data).encode()
            )
        else:
            text = table.replace(names[0], str(canary)) if number % 7 == 0 else table
            batch.files[name] = b"file,x,y\n" + b'"' + b"a" * 300_000 if number % 11 == 5 else odd_text(text, rng)
        batch.hostile.append(name)
    batch.files[f"labels/good.{suffix}"] = json.dumps(coco(names)).encode() if kind == "coco" else table.encode()
    batch.config = scenes_config({"type": kind, "labels": "labels"})
    return batch


def of_chips(count: int, first: int, canary: Path) -> Batch:
    """Hostile JSON files of chips, as of shipsnet."""
    batch = Batch("shipsnet", scenes_config({"type": "shipsnet"}))
    for number in range(first, first + count):
        rng = np.random.default_rng([number, 77])
        data = json.dumps(odd_json(shipsnet(), rng)).encode()
        name = f"in/h{number}.json"
        batch.files[name] = (
            mutated(data, rng) if number % 3 == 0 else b'{"data": [' + b"[" * 50_000 if number % 23 == 4 else data
        )
        batch.hostile.append(name)
    batch.files["in/good.json"] = json.dumps(shipsnet()).encode()
    return batch


SOUND_CONFIG: dict[str, Any] = {
    "name": "c",
    "seed": 1,
    "ingest": {
        "sources": [{"type": "yolo", "path": "in", "groups_regex": "(?P<site>[a-z]+)"}],
        "classes": ["sea", "ship"],
    },
    "chips": {"size_px": 32, "negatives": {"per_positive": 1.5}},
    "split": {"scheme": "lists", "test_lists": [["a"], ["b"]], "fractions": [0.5, 1.0]},
    "gan": {"images": 100, "preset": "dcgan-lowdata"},
    "classify": {"arms": ["classic", "classic+gan"], "folders": [{"name": "x", "path": "y"}]},
}


def of_configurations(count: int, first: int, canary: Path) -> list[Batch]:
    """Hostile configurations, one command each."""
    lol = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{now}: &{now} [{','.join(['*' + before] * 9)}]\n"
        for before, now in zip("abcdefghi", "bcdefghij", strict=True)
    )
    traps = [
        lol,
        "name: &n [*n]\n",
        "ingest: &i {sources: *i}\n",
        "ingest: !!python/object/apply:os.system ['touch /tmp/x']\n",
        "{" * 5000,
        "[" * 5000 + "]" * 5000,
        "name: a\nname: b\n",
        "? [a, b]\n: c\n",
        "name: \x00\n",
        "name: " + "9" * 5000,
        "seed: 1e400\n",
        "seed: " + "9" * 5000 + "\n",
        "seed: 0b" + "1" * 20000 + "\n",
        "seed: 190:20:30:40:50:60:70:80:90\n",
        "ingest: {sources: [{type: yolo, path: '" + "../" * 300 + "etc/hostname'}]}\n",
        "ingest: {sources: [{type: yolo, path: '\\0'}]}\n",
        "<<: {a: 1}\n",
        "- a\n- b\n",
        "%YAML 9.9\n---\na: b\n",
        "2001-99-99: x\n",
        "name: 2001-99-99\n",
        "\ufeffname: x\n",
    ]
    found = []
    for number in range(first, first + count):
        rng = np.random.default_rng([number, 5])
        data: bytes = (
            traps[number].encode("utf-8", "surrogatepass")
            if number < len(traps)
            else mutated(yaml.safe_dump(SOUND_CONFIG).encode(), rng)
            if number % 3 == 0
            else yaml.safe_dump(odd_json(SOUND_CONFIG, rng)).encode()
        )
        batch = Batch("configuration", "", {"c.yaml": data}, ["c.yaml"], ("config", "validate", "--config", "c.yaml"))
        found.append(batch)
    return found


PER_BATCH = 20
COUNTS = {
    "tiff": 100, "png": 60, "jpeg": 60, "geojson": 60, "geoparquet": 40, "voc": 40, "yolo": 40, "coco": 40, "csv": 40,
    "shipsnet": 40, "configuration": 60,
}  # fmt: skip
"""How many files of each kind; with the traps and those of ``calls.py`` well above 500."""


def batches(canary: Path, sample: int | None = None) -> Iterator[Batch]:
    """Projects of hostile files.

    Args:
        canary: A file that none of them may lead to.
        sample: So many files of each kind instead of all.
    """
    yield of_traps(canary)
    for kind, count in COUNTS.items():
        last = count if sample is None else sample
        for first in range(0, last, PER_BATCH):
            here = min(PER_BATCH, last - first)
            if kind in ("tiff", "png", "jpeg"):
                yield of_images(kind, here, first, canary)
            elif kind in ("geojson", "geoparquet", "voc", "yolo"):
                yield of_own_labels(kind, here, first, canary)
            elif kind in ("coco", "csv"):
                yield of_shared_labels(kind, here, first, canary)
            elif kind == "shipsnet":
                yield of_chips(here, first, canary)
            else:
                yield from of_configurations(here, first, canary)
