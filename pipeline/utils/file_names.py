"""Names of files and folders from names that people gave: of classes, scenes and chips."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MAX_BYTES = 150
"""Bytes of a name in UTF-8; file systems take 255, and endings are added."""
_REFUSED = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*#%]+')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def file_name(text: str, empty: str) -> str:
    """Return a name that every file system takes, as like ``text`` as can be: letters of all scripts stay.

    It is no formula to a spreadsheet and no option to a program, so that tables can name the file as it is: ``=ship``
    becomes ``_=ship``.

    Args:
        text: Any text.
        empty: The name of a text of which nothing is left.
    """
    name = _REFUSED.sub("_", unicodedata.normalize("NFC", text))
    name = "".join(letter for letter in name if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    name = name.encode()[-MAX_BYTES:].decode("utf-8", "ignore").strip("._ ")
    if name.startswith(("=", "+", "-", "@")):
        name = f"_{name}"
    return f"{name}_" if _DEVICES.fullmatch(name) else name or empty


def distinct_file_names(texts: Iterable[str], empty: str) -> list[str]:
    """Return a name for each text, numbered where two would be one file; file systems may take A and a for one."""
    count: dict[str, int] = {}
    names = []
    for text in texts:
        name = file_name(text, empty)
        number = count[name.lower()] = count.get(name.lower(), 0) + 1
        names.append(name if number == 1 else f"{name}~{number}")
    return names
