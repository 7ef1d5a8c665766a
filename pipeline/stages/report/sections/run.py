"""Reproduction of the figures: configuration, seeds, digests, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from ....engine.task import read_metadata
from ....utils.plural import plural
from ..gather import ReportData
from ..html import blocks

DIGEST_SHOWN = 12


def versions(libraries: Sequence[str]) -> dict[str, str]:
    """Return versions of Python and of installed distributions."""
    numbers = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in ("satpipe", *libraries):
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            numbers[name] = "absent"
    return numbers


def section_run(data: ReportData, libraries: Sequence[str]) -> blocks.Section:
    """Return configuration and provenance."""
    section = blocks.Section("run", "Configuration and provenance", appendix=True)
    library_versions = versions(libraries)
    rows = [
        blocks.row([f"{stage}/{name}", digest[:DIGEST_SHOWN]])
        for stage, name, digest in data.provenance
        if stage != "report"
    ]
    scenes = [blocks.row([str(name), str(digest)[:DIGEST_SHOWN]]) for name, digest in data.tables.get("scenes", [])]
    profile = read_metadata(data.final).get("profile", {})
    section.blocks = [
        blocks.text(
            f"Seed {data.config['seed']}. "
            + trained_on(profile)
            + ", ".join(f"{name} {number}" for name, number in library_versions.items())
            + "."
        ),
        blocks.code("The whole configuration", configuration(data.config)),
        _digests("Artifacts", "The artifacts that this page was made from, with the digest of their content.", rows),
        _digests("Scenes", "The scenes, with the SHA-256 of each file.", scenes),
    ]
    section.data = {
        "seed": data.config["seed"],
        "profile": profile,
        "versions": library_versions,
        "configuration": data.config,
        "artifacts": {f"{stage}/{name}": digest for stage, name, digest in data.provenance},
    }
    return section


def trained_on(profile: Mapping[str, Any]) -> str:
    """Return the machine's profile in a sentence."""
    if not profile:
        return ""
    threads = plural(int(profile["threads"]), "thread")
    layout = str(profile["memory_format"]).replace("_", " ")
    return f"Trained on {profile['device']} in {profile['precision']}, {layout}, {threads} each. "


def _digests(label: str, caption: str, rows: list[dict[str, Any]]) -> blocks.Block:
    return blocks.table(
        label, caption, [label[:-1], "Digest"], rows, False, f"Digests of {len(rows):,} {label.lower()}"
    )


def configuration(config: Any) -> str:
    """Return the configuration as YAML."""
    return str(yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100))
