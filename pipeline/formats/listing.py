"""Find the files of a source: by folder, glob, file or list, in an order that no file system decides.

Planning does this in every command, so nothing heavy is imported and no file is opened.
"""

from __future__ import annotations

import glob
import os
import re
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
    roots, listed = [], []
    for text in given:
        base, below = _expand(text, suffixes, key)
        roots.append(base)
        listed.extend(below)
    root = Path(os.path.commonpath(roots))
    names = {path.relative_to(root).as_posix(): path for path in listed}
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
    visited: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        try:
            status = os.stat(parent)  # noqa: PTH116 - a text, as os.walk gives it
        except OSError:
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in visited:  # a link to a folder around it, or a second link to one
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield parent, folders, files


def _unfit(path: Path) -> str | None:
    try:
        if path.is_dir():
            return "is a folder, not a file"
        if not path.is_file():
            return "is not a regular file, or a broken link"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if os.access(path, os.R_OK) else "cannot be read: permission denied"


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
        label = next((path for base in stems for suffix in suffixes if exists(path := base + suffix)), None)
        if label is not None:
            label_of[scene] = label
    return label_of


def named_like(
    scenes: Sequence[str], labels: Sequence[str], scene_root: str = "", label_root: str = ""
) -> dict[str, str]:
    """Return the label file of each scene that has one of its name: the same path but for the suffix, else the name.

    Where several label files or scenes share a name, the two belong together that are nearest to each other, such as
    those below ``train/part1``; where that does not tell, all are passed over.

    Args:
        scenes: Paths of the scenes below their root.
        labels: Paths of the label files below theirs.
        scene_root: That root.
        label_root: That root.
    """
    by_stem = {label.rpartition(".")[0]: label for label in labels}
    label_of = {scene: by_stem[stem] for scene in scenes if (stem := scene.rpartition(".")[0]) in by_stem}
    taken = set(label_of.values())
    left = [scene for scene in scenes if scene not in label_of]
    free = [label for label in labels if label not in taken]
    nearest_label = _nearest(left, scene_root, free, label_root)
    nearest_scene = _nearest(free, label_root, left, scene_root)
    return label_of | {scene: label for scene, label in nearest_label.items() if nearest_scene.get(label) == scene}


def _nearest(paths: Sequence[str], root: str, others: Sequence[str], other_root: str) -> dict[str, str]:
    """Return for each path the other one of its name, without suffix, that shares most of its folders, if it is one."""
    below: dict[tuple[str, str], list[str]] = {}
    for other in others:
        for place in _folders(other, other_root):
            below.setdefault(place, []).append(other)
    nearest = {}
    for path in paths:
        same = next((below[place] for place in _folders(path, root) if place in below), [])
        if len(same) == 1:
            nearest[path] = same[0]
    return nearest


def _folders(path: str, root: str) -> Iterator[tuple[str, str]]:
    """Yield the folders that a file lies in, the deepest first, each with the file's name without its suffix."""
    folder, _, name = f"{root}/{path}".rpartition("/")
    stem = name.rpartition(".")[0]
    while True:
        yield folder, stem
        if not folder:
            return
        folder = folder.rpartition("/")[0]
