"""The key of a part: a digest over everything that decides its content, and the difference between two of them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..models.device import Profile
from . import code_digest
from .store import digest_of
from .task import ArtifactRef, Task


@cache
def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


HANDED = ("satpipe.engine.task:TaskContext", "satpipe.models.device:Profile")
"""What every maker is handed and calls without naming it."""


@cache
def _code(make: str) -> dict[str, str]:
    return {title: digest for root in (*HANDED, make) for title, digest in code_digest.definitions_used(root).items()}


def components(task: Task, profile: Profile) -> dict[str, Any]:
    """What the key of a part is made from.

    Code enters by definition, configuration as JSON, inputs and files by the digest of their content, libraries by
    version; the profile where the part is a training.
    """
    inputs = {
        name: [one.digest for one in ref] if isinstance(ref, tuple) else ref.digest
        for name, ref in sorted(task.inputs.items())
    }
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "make": task.function,
        "name": task.name,
        "code": _code(task.function),
        "config": dict(task.config),
        "inputs": inputs,
        "files": {name: file.sha256 for name, file in sorted(task.files.items())},
        "resources": {name: code_digest.resource_digest(name) for name in task.resources},
        "libraries": {"python": python} | {name: _version(name) for name in task.libraries},
        "profile": profile.as_json() if task.training else None,
    }


def key_of(tasks: Mapping[str, Any]) -> str:
    """The key that components give."""
    return digest_of(tasks)


def _flat(data: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(data, Mapping) and data:
        return {name: value for key in data for name, value in _flat(data[key], f"{prefix}{key}.").items()}
    return {prefix[:-1]: data}


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def difference(before: Mapping[str, Any], after: Mapping[str, Any], titles: Mapping[str, str]) -> list[str]:
    """In words, what makes a new key differ from an old one.

    Args:
        before: Components of the old key.
        after: Components of the new key.
        titles: Names for content digests, so that inputs are named by part.
    """
    said = []
    for kind in ("make", "code", "config", "inputs", "files", "resources", "libraries", "profile"):
        old, new = _flat(before.get(kind)), _flat(after.get(kind))
        for name in sorted({*old, *new}):
            if old.get(name) == new.get(name):
                continue
            said.append(_say(kind, name, old.get(name), new.get(name), titles))
    return said


def _say(kind: str, name: str, old: Any, new: Any, titles: Mapping[str, str]) -> str:
    if kind == "code":
        where = name.replace(":", ".").rstrip(".")
        how = "is used now" if old is None else "is used no more" if new is None else "changed"
        return f"code {where} {how}"
    if kind == "inputs":
        return f"input {name} ({titles.get(str(new), 'a part')}) has other content"
    if kind in ("files", "resources"):
        return f"{'file' if kind == 'files' else 'resource'} {name} has other content"
    label = {"config": "configuration", "libraries": "library", "profile": "profile", "make": "maker"}[kind]
    return f"{label} {name} was {_shown(old)} and is {_shown(new)}"


def input_refs(task: Task) -> list[ArtifactRef]:
    """All inputs of a part, flat."""
    return [one for ref in task.inputs.values() for one in (ref if isinstance(ref, tuple) else (ref,))]
