"""Download a data set from Kaggle into the store, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ...engine.progress import Progress
from ...formats.listing import IMAGES, find
from ...utils.errors import InputError

SUFFIXES = (*IMAGES, ".json")


def download(dataset: str, version: int | None, out: Path, progress: Progress) -> dict[str, Any]:
    """Download a data set with kagglehub and copy its images and JSON files to ``out``.

    kagglehub keeps the download in its own cache and takes it from there the next time, also without a network where
    the version is named. What it returns is complete: it checks the archive's digest and marks a finished extraction.
    The runner commits ``out`` with the digest of each file, and only when this function has returned.

    Args:
        dataset: ``owner/name``.
        version: Version of the data set; None for the newest.
        out: Empty folder of the artifact.
        progress: Told how many files are copied.

    Returns:
        Metadata: the handle, and name and bytes of each file.

    Raises:
        InputError: If kagglehub is not installed, or the data set cannot be had.
    """
    by_hand = f"or download https://www.kaggle.com/datasets/{dataset}, unpack it and name its folder as `path`"
    try:
        import kagglehub
    except ImportError:
        raise InputError(
            f"the source {dataset} needs kagglehub: `pip install 'satpipe[kaggle]'`,"
            f" {by_hand} of a source of type shipsnet or folders"
        ) from None
    handle = dataset if version is None else f"{dataset}/versions/{version}"
    try:
        folder = Path(kagglehub.dataset_download(handle))
        listing = find(str(folder), SUFFIXES, f"Kaggle data set {handle}")
    except InputError:
        raise
    except Exception as error:
        # kagglehub, requests and urllib3 each have their own family of errors for no network and no permission.
        reason = str(error).split("\n")[0][:160]
        raise InputError(
            f"Kaggle data set {handle} cannot be downloaded ({type(error).__name__}: {reason}); check the network"
            f" and the name, {by_hand} of a source of type shipsnet or folders"
        ) from None
    for number, name in enumerate(listing.files, 1):
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(listing.path(name), target)
        progress.update(number, len(listing.files), "files")
    return {"dataset": handle, "files": [list(pair) for pair in zip(listing.files, listing.sizes, strict=True)]}
