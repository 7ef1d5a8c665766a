"""Find the files of a source: by folder, glob, file or list, in an order that no file system decides.

Planning does this in every command, so nothing heavy is imported and no file is opened.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..utils.errors import InputError

IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".jp2")
REMOTE = re.compile(r"(^|[/\\])[A-Za-z][A-Za-z0-9+.-]+:[/\\]")
"""A URL; also one that was already resolved against a folder, which made it `/folder/https:/host`."""


@dataclass(frozen=True)
class Listing:
    """Files of a source.

    Attributes:
        root: Folder that they are named relative to.
        files: Paths below ``root``, with ``/`` on every system, sorted.
        sizes: Bytes of each.
        refused: Paths that were asked for and are no regular files, each with the reason.
    """

    root: Path
    files: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    def path(self, name: str) -> Path:
        """Return the place of a listed file."""
        return self.root / name


def find(paths: str | Sequence[str], suffixes: Sequence[str], key: str) -> Listing:
    """Return the files that ``paths`` name.

    Args:
        paths: A folder (searched with its subfolders), file, glob, or several of these. A file that is named itself is
            taken whatever its suffix; hidden files and folders are passed over.
        suffixes: Suffixes to look for in folders, in small letters; files match in any case. An empty one takes all.
        key: The key of the configuration, for messages.

    Raises:
        InputError: If a path is not a local one, does not exist, or no file is found.
    """
    given = [paths] if isinstance(paths, str) else list(paths)
    roots, found = [], []
    for text in given:
        base, below = _expand(text, suffixes, key)
        roots.append(base)
        found.extend(below)
    root = Path(os.path.commonpath(roots))
    names = {path.relative_to(root).as_posix(): path for path in found}
    files, sizes, refused = [], [], []
    for name in sorted(names):
        reason = _unfit(names[name])
        if reason:
            refused.append((name, reason))
        else:
            files.append(name)
            sizes.append(names[name].stat().st_size)
    if not names:
        raise InputError(f"{key}: there is no file with a suffix {', '.join(suffixes)} in {', '.join(given)}")
    return Listing(root, tuple(files), tuple(sizes), tuple(refused))


def _expand(text: str, suffixes: Sequence[str], key: str) -> tuple[Path, list[Path]]:
    """Return root folder and files of one path, folder or glob."""
    if REMOTE.search(text) or text.startswith(("/vsi", "<")) or "\0" in text:
        raise InputError(f"{key}: {text[-80:]!r} is not a plain local path; download the files and name their folder")
    # A symbolic link keeps its name, and ~name is a name where there is no such user.
    path = Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111
    if path.is_dir():
        return path, list(_walk(path, suffixes))
    if path.exists():
        return path.parent, [path]
    if glob.has_magic(text):
        plain = Path(*(part for part in _before_magic(path.parts)))
        return plain, [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - `**` in the text
    raise InputError(f"{key}: {text} does not exist; give a folder, file or glob")


def _before_magic(parts: Sequence[str]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _walk(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Yield entries with one of the suffixes; also folders that are named like a file, which are not entered."""
    for parent, folders, files in walk(folder):
        named = [name for name in folders if any(suffixes) and name.lower().endswith(tuple(suffixes))]
        folders[:] = [name for name in folders if name not in named]
        for name in (*files, *named):
            if name.lower().endswith(tuple(suffixes)) and not name.startswith("."):
                yield Path(parent, name)


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder as os.walk does, through linked folders too, each real folder once; hidden ones are passed over."""
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        try:
            status = os.stat(parent)  # noqa: PTH116 - a text, as os.walk gives it
        except OSError:
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder around it, or a second link to one
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield parent, folders, files


def _unfit(path: Path) -> str | None:
    try:
        if path.is_dir():
            return "is a folder, not a file"
        if not path.is_file():
            return "is no regular file, or a link to nothing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if os.access(path, os.R_OK) else "may not be read: permission denied"


def batches(sizes: Sequence[int], most: int, most_bytes: int) -> Iterator[range]:
    """Cut a list of files into runs of consecutive ones.

    Args:
        sizes: Bytes of each file.
        most: Files in a run at most.
        most_bytes: A run ends with the file that makes it larger than this.

    Yields:
        Positions of each run.
    """
    start = held = 0
    for position, size in enumerate(sizes):
        held += size
        if held >= most_bytes or position + 1 - start >= most:
            yield range(start, position + 1)
            start, held = position + 1, 0
    if start < len(sizes):
        yield range(start, len(sizes))


PAIRS: dict[str, tuple[str, ...]] = {
    "images": ("labels", "labelTxt", "labelXml", "labelXmls", "Annotations", "annotations", "xml"),
    "JPEGImages": ("Annotations",),
    "AllImages": ("Annotations",),
}
"""Folders of images, and of labels beside them, as YOLO, DOTA, FAIR1M, Pascal VOC and HRSC2016 have them."""


def beside(scenes: Sequence[str], exists: Callable[[str], bool], suffixes: Sequence[str]) -> dict[str, str]:
    """Return the label file of each scene that has one: beside it, or in ``labels/`` and the like beside ``images/``.

    Args:
        scenes: Paths of the scenes.
        exists: Whether a path is a file.
        suffixes: Suffixes of label files, the preferred one first.
    """
    label_of = {}
    for scene in scenes:
        stem = scene.rpartition(".")[0]
        *folders, name = stem.split("/")
        stems = [stem]
        for depth in reversed(range(len(folders))):
            if folders[depth] in PAIRS:
                pairs = PAIRS[folders[depth]]
                stems += ["/".join([*folders[:depth], pair, *folders[depth + 1 :], name]) for pair in pairs]
                break
        label = next((path for one in stems for suffix in suffixes if exists(path := one + suffix)), None)
        if label is not None:
            label_of[scene] = label
    return label_of


def named_like(scenes: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Return the label file of each scene that has one of its name: the same path but for the suffix, else the name.

    A name that two label files or two scenes share does not say which is meant, and is passed over.
    """
    by_stem = {label.rpartition(".")[0]: label for label in labels}
    by_name: dict[str, list[str]] = {}
    for stem, label in by_stem.items():
        by_name.setdefault(stem.rpartition("/")[2], []).append(label)
    stems = [scene.rpartition(".")[0] for scene in scenes]
    count = Counter(stem.rpartition("/")[2] for stem in stems)
    label_of = {}
    for scene, stem in zip(scenes, stems, strict=True):
        name = stem.rpartition("/")[2]
        candidates = by_name.get(name, [])
        if stem in by_stem:
            label_of[scene] = by_stem[stem]
        elif len(candidates) == 1 and count[name] == 1:
            label_of[scene] = candidates[0]
    return label_of
