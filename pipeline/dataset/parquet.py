"""Check what a Parquet file claims before it is read: a file of a few megabytes can unfold to a hundred gigabytes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..utils.errors import StoreError, first_line

FEW_ROWS = 1 << 20
"""Tables of so many rows or fewer may compress as well as they like."""
MAX_ROWS_PER_BYTE = 4
"""Rows for each byte of the file; tables of satpipe have a name or a number of its own in each row."""
BYTES_PER_VALUE = 16
"""Rough memory of a value, text apart."""
MUCH_TEXT = 1 << 28
"""Bytes of text below which nothing is counted."""


def checked(path: Path) -> Path:
    """Return the path of a Parquet file whose rows and texts fit the file and half of the memory.

    Raises:
        StoreError: If they do not, or the file is a link or not a Parquet file.
    """
    if path.is_symlink() or not path.is_file():
        raise StoreError(f"{path} is not a file; `satpipe run all` writes it")
    try:
        metadata = pq.read_metadata(path)
        columns = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{path} is not a Parquet table that can be read: {first_line(error, 160)}") from None
    size, rows = path.stat().st_size, metadata.num_rows
    if rows > FEW_ROWS and rows > MAX_ROWS_PER_BYTE * size:
        raise StoreError(f"{path} claims {rows:,} rows in {size:,} bytes and is not read; delete it if it is not yours")
    memory = _memory() // 2
    texts = [name for name, kind in zip(columns.names, columns.types, strict=True) if _is_text(kind)]
    needed = rows * BYTES_PER_VALUE * max(1, len(columns.names))
    if needed <= memory and rows * size > MUCH_TEXT:
        needed += _text_bytes(path, texts)
    if needed > memory:
        raise StoreError(
            f"{path} would take about {needed / 2**30:,.1f} GiB, more than half of the memory that this process may"
            f" use ({memory / 2**30:,.1f} GiB), and is not read"
        )
    return path


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind))


def _text_bytes(path: Path, names: list[str]) -> int:
    """Return the bytes of text columns once each row has its own; each text is read once."""
    total = 0
    for batch in pq.ParquetFile(path, read_dictionary=names).iter_batches(columns=names):
        for column in batch.columns:
            if pa.types.is_dictionary(column.type) and len(column.dictionary):
                lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
                total += pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0
            else:
                total += column.nbytes
    return total


def _memory() -> int:
    """Return the bytes of memory that this process may use."""
    if sys.platform == "win32":
        return 8 << 30
    import resource

    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), resource.getrlimit(resource.RLIMIT_DATA)[0]]
    return min(limit for limit in limits if limit > 0)
