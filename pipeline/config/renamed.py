"""Keys of the configuration that have changed their name: read under the old one for a release, with a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from ..utils.errors import ConfigError

RENAMED = {
    "classify.augment.chips_of_a_draw": "classify.augment.chips_per_draw",
    "classify.augment.uses_of_a_view": "classify.augment.steps_per_view",
    "gan.judge_norm": "gan.discriminator_norm",
    "ingest.scenes_per_part": "ingest.scenes_per_task",
}
"""Present names by former ones; both are in the same section."""


def current_key(keys: Sequence[str]) -> list[str]:
    """Return the present name of a key, split at its dots; other keys stay as they are."""
    return RENAMED.get(".".join(keys), ".".join(keys)).split(".")


def current_names(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a configuration with its keys under their present names.

    Returns:
        A copy of the plain data, and a sentence for each key that had a former name.

    Raises:
        ConfigError: If a key is given under both names.
    """
    renamed, sentences = deepcopy(dict(raw)), []
    for former, present in RENAMED.items():
        *sections, name = former.split(".")
        section: Any = renamed
        for key in sections:
            section = section.get(key) if isinstance(section, dict) else None
        if isinstance(section, dict) and name in section:
            new_name = present.rpartition(".")[2]
            if new_name in section:
                raise ConfigError(f"`{former}` is the former name of `{present}`; give one of them")
            section[new_name] = section.pop(name)
            sentences.append(renamed_sentence(former))
    return renamed, sentences


def renamed_sentence(former: str) -> str:
    """Return the sentence on a key that was given under its former name."""
    return f"`{former}` is now called `{RENAMED[former]}`; the former name will be refused by the next release"
