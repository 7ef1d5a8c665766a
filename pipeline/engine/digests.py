"""Digests of files and of JSON data, as keys and artifacts use them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

DIGEST_LENGTH = 32
_DIGEST = re.compile(r"[0-9a-f]{32}")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(data: Any) -> bytes:
    """Return the one JSON text of ``data``: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(data: Any) -> str:
    """Return the digest of JSON data, in hexadecimal, as keys and artifacts use it."""
    return hashlib.sha256(canonical(data)).hexdigest()[:DIGEST_LENGTH]


def is_digest(text: object) -> bool:
    """Return whether ``text`` is what :func:`digest_of` returns, and so safe in a path."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def stamp_of(path: Path) -> tuple[int, ...]:
    """Return size, time of modification, and time of the last change of any kind, which cannot be set back."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
