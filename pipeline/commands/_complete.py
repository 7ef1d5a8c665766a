"""Shell completion of stages, runs and configuration keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import rich_click as click


def stages(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the stages that are not named yet, and `all`."""
    from ..engine.stages import NAMES

    named = context.params.get(str(parameter.name)) or ()
    return [name for name in (*NAMES, "all") if name.startswith(incomplete) and name not in named]


def runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the runs in the folder of `--root`."""
    root = Path(context.params.get("root") or ".")
    return sorted(path.name for path in (root / "data" / "runs").glob(f"{incomplete}*") if path.is_dir())


def overrides(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return keys of the configuration, section by section: `gan.` first, then `gan.images=`."""
    from ..config.run import RunConfig

    *sections, start = incomplete.split(".")
    model: Any = RunConfig
    for section in sections:
        model = model.model_fields[section].annotation if section in getattr(model, "model_fields", {}) else None
    keys = []
    for name, field in getattr(model, "model_fields", {}).items():
        if name.startswith(start):
            is_section = hasattr(field.annotation, "model_fields")
            keys.append(".".join([*sections, name]) + ("." if is_section else "="))
    return keys
