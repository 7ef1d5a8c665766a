"""Key of a task: a digest over everything that decides its artifact, and the difference between two of them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..models.device import Profile
from . import code_digest
from .digests import digest_of
from .task import Task


@cache
def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


PASSED = ("satpipe.engine.task:TaskContext", "satpipe.models.device:Profile")
"""Classes of the arguments of every task function, which it calls without naming them."""


@cache
def _code(function: str) -> dict[str, str]:
    code: dict[str, str] = {}
    for root in (*PASSED, function):
        code |= code_digest.definitions_used(root)
    return code


def components(task: Task, profile: Profile) -> dict[str, Any]:
    """Return what the key of a task is made from.

    Code enters by definition, configuration as JSON, inputs and files by the digest of their content, libraries by
    version; the profile where the task is a training.
    """
    inputs = {
        name: [item.digest for item in ref] if isinstance(ref, tuple) else ref.digest
        for name, ref in sorted(task.inputs.items())
    }
    python = ".".join(platform.python_version_tuple()[:2])
    return {
        "function": task.function,
        "name": task.name,
        "code": _code(task.function),
        "config": dict(task.config),
        "inputs": inputs,
        "files": {name: file.sha256 for name, file in sorted(task.files.items())},
        "resources": {name: code_digest.resource_digest(name) for name in task.resources},
        "libraries": {"python": python} | {name: _version(name) for name in task.libraries},
        "profile": profile.as_json() if task.training else None,
    }


def key_of(components: Mapping[str, Any]) -> str:
    """Return the key that components give."""
    return digest_of(components)


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted keys."""
    if isinstance(data, Mapping) and data:
        return {name: value for key in data for name, value in flat(data[key], f"{prefix}{key}.").items()}
    return {prefix[:-1]: data}


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def difference(before: Mapping[str, Any], after: Mapping[str, Any], titles: Mapping[str, str]) -> list[str]:
    """Return in words what makes a new key differ from an old one.

    Args:
        before: Components of the old key.
        after: Components of the new key.
        titles: Titles of artifacts by digest, to name inputs by.
    """
    sentences = []
    for kind in ("function", "code", "config", "inputs", "files", "resources", "libraries", "profile"):
        old, new = flat(before.get(kind)), flat(after.get(kind))
        for name in sorted({*old, *new}):
            if old.get(name) == new.get(name):
                continue
            sentences.append(_sentence(kind, name, old.get(name), new.get(name), titles))
    return sentences


def _sentence(kind: str, name: str, old: Any, new: Any, titles: Mapping[str, str]) -> str:
    if kind == "code":
        where = name.replace(":", ".").rstrip(".")
        how = "is now used" if old is None else "is no longer used" if new is None else "changed"
        return f"code {where} {how}"
    if kind == "inputs":
        return f"input {name} ({titles.get(str(new), 'an artifact')}) has other content"
    if kind in ("files", "resources"):
        return f"{'file' if kind == 'files' else 'resource'} {name} has other content"
    label = {"config": "configuration", "libraries": "library", "profile": "profile", "function": "task function"}[kind]
    return f"{label} {name} was {_shown(old)} and is {_shown(new)}"
