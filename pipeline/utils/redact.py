"""Keep secrets out of what is written down: logs, records, locks, reports, errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_LOGIN = re.compile(r"(?<=:/)(/?)[^/\s@'\"]+@")
"""Name and password before the host of a URL. A path that was resolved against a folder has lost one of its slashes."""
_QUERY = re.compile(r"(:/[^\s?'\"]*\?)[^\s'\"`]+")
"""The query of a URL, which may hold tokens and signatures."""
_NAMED = re.compile(r"(?i)\b((?:[a-z_]*(?:token|secret|password|passwd|api_?key|access_?key))\s*[=:]\s*)[^\s,;'\"]+")
"""A value with the name of a secret."""


def redacted(text: str) -> str:
    """Return the text with logins and queries of URLs, and values named like a secret, replaced by ``***``."""
    text = _LOGIN.sub(r"\1***@", text)
    text = _QUERY.sub(r"\1***", text)
    return _NAMED.sub(r"\1***", text)


def redacted_json(data: Any) -> Any:
    """Return JSON data with every text redacted."""
    if isinstance(data, str):
        return redacted(data)
    if isinstance(data, Mapping):
        return {key: redacted_json(value) for key, value in data.items()}
    if isinstance(data, Sequence):
        return [redacted_json(value) for value in data]
    return data
