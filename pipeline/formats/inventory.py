"""Inventory of a folder, and of what its files hold."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

from .listing import IMAGES, walk

MAX_FILES = 1_000_000
MAX_PARSED_BYTES = 64 << 20
HEAD_BYTES = 8192
SAMPLE = 200
"""Files of a kind that are opened to tell what they are."""


@dataclass
class Inventory:
    """Files of a folder.

    Attributes:
        root: The folder.
        files: Paths below it, with ``/`` on every system, sorted.
    """

    root: Path
    files: list[str] = field(default_factory=list)

    @cached_property
    def images(self) -> list[str]:
        """Return rasters and pictures; of a Sentinel product (SAFE folder) those of :attr:`products` alone."""
        return [name for name in self.suffixed(IMAGES) if ".SAFE/" not in name or name in self.products]

    @cached_property
    def products(self) -> set[str]:
        """Return the images of Sentinel products: measurements, or true colour, at 10 m if there are several."""
        measured = {name for name in self.suffixed((".tif", ".tiff")) if ".SAFE/measurement/" in name}
        names = [name for name in self.by_suffix.get(".jp2", []) if ".SAFE/" in name and "_TCI" in name]
        finest = [name for name in names if name.endswith("_TCI_10m.jp2")]
        has_finest = {name.partition(".SAFE/")[0] for name in finest}
        return measured | {*finest, *(name for name in names if name.partition(".SAFE/")[0] not in has_finest)}

    @cached_property
    def by_suffix(self) -> dict[str, list[str]]:
        """Return the files by their suffix in small letters."""
        files: dict[str, list[str]] = {}
        for name in self.files:
            files.setdefault(Path(name).suffix.lower(), []).append(name)
        return files

    @cached_property
    def tables(self) -> dict[str, list[str]]:
        """Return the CSV files with the names of their columns."""
        return {name: columns(self.path(name)) for name in self.by_suffix.get(".csv", [])}

    def suffixed(self, suffixes: Iterable[str]) -> list[str]:
        """Return the files with one of the suffixes, sorted."""
        return sorted(name for suffix in suffixes for name in self.by_suffix.get(suffix, []))

    def path(self, name: str) -> Path:
        """Return the place of a listed file."""
        return self.root / name


def take_inventory(root: Path) -> Inventory:
    """List a folder with its subfolders; hidden files and folders are passed over, as ingest does."""
    paths = (Path(parent, name) for parent, _, names in walk(root) for name in names if not name.startswith("."))
    return Inventory(root, sorted(path.relative_to(root).as_posix() for path in islice(paths, MAX_FILES)))


def shortest(folder: Inventory, names: Sequence[str], rivals: Sequence[str]) -> str | list[str]:
    """Return the shortest way to name files: one path, their folder where it holds none of the rivals, or a list."""
    if len(names) == 1:
        return str(folder.path(names[0]))
    inside = common_folder(names)
    prefix = f"{inside}/" if inside else ""
    chosen = set(names)
    if all(name in chosen for name in rivals if name.startswith(prefix)):
        return str(folder.root / inside)
    return [str(folder.path(name)) for name in names]


def paths_of(folder: Inventory, names: Sequence[str], rivals: Sequence[str]) -> str | list[str]:
    """Return the shortest way to name files that leaves out their rivals: a folder, folders, or a list of files."""
    chosen = set(names)
    others = [name for name in rivals if name not in chosen]
    inside = common_folder(names)
    prefix = f"{inside}/" if inside else ""
    if not any(name.startswith(prefix) for name in others):
        return str(folder.root / inside)
    places = sorted({name.rpartition("/")[0] for name in names})
    above = {parent.as_posix().removeprefix(".") for name in others for parent in PurePosixPath(name).parents}
    if above.isdisjoint(places):
        return [str(folder.root / place) for place in places]
    return [str(folder.path(name)) for name in names]


def common_folder(names: Sequence[str]) -> str:
    """Return the deepest folder that holds all of the files."""
    shared = []
    for level in zip(*(name.split("/")[:-1] for name in names), strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join(shared)


def spread(names: Sequence[str], most: int = SAMPLE) -> list[str]:
    """Return at most ``most`` names, evenly spaced."""
    return list(names[:: max(1, -(-len(names) // most))])


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first names and how many more there are, in words."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# ------------------------------------------------------------------------------------------------- content of files


def lines_of(path: Path, max_bytes: int = 1 << 20) -> list[str]:
    """Return the lines at the beginning of a text file; none where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            return stream.read(max_bytes).splitlines()
    except OSError:
        return []


def head(path: Path) -> str:
    """Return the beginning of a text file."""
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def has_tags(path: Path, root: str, *tags: str) -> bool:
    """Return whether an XML file begins with an element ``root`` and holds one of the tags, or no element at all."""
    text = "".join(line + "\n" for line in lines_of(path))
    opened = re.search(r"<([A-Za-z_][\w.:-]*)", re.sub(r"<!--.*?-->|<\?.*?\?>|<![^>]*>", "", text, flags=re.DOTALL))
    return opened is not None and opened[1] == root and any(re.search(rf"<{tag}[\s/>]", text) for tag in tags)


@lru_cache(maxsize=4096)
def json_keys(path: Path) -> tuple[str, ...]:
    """Return the keys of a JSON object, or of the first object of a list after a key ``[]``; nothing for others.

    Large files are recognised by their beginning.
    """
    text = head(path).lstrip()
    if text[:1] not in ("{", "["):
        return ()
    beginning = ("[]",) if text[0] == "[" else ()
    try:
        if path.stat().st_size > MAX_PARSED_BYTES:
            return (*beginning, *re.findall(r'"([\w.]+)"\s*:', text))
        data = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return ()
    if isinstance(data, list):
        data = next((item for item in data if isinstance(item, dict)), {})
    return (*beginning, *data) if isinstance(data, dict) else ()


def columns(path: Path) -> list[str]:
    """Return the names in the first line of a CSV; none where it cannot be read."""
    first = next((line for line in lines_of(path, HEAD_BYTES) if line.strip()), "")
    try:
        return [name.strip() for name in next(csv.reader([first], delimiter=delimiter_of(first)), [])]
    except csv.Error:
        return []


def delimiter_of(line: str) -> str:
    """Return the character that separates the names in the first line of a CSV: comma, semicolon, tab or bar."""
    counts = Counter(character for character in line if character in ",;\t|")
    return max(",;\t|", key=lambda character: counts[character])
