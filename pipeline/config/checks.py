"""Check what the models cannot: that the preset, the folders and the module that a configuration names exist."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..utils.errors import ConfigError
from ..utils.section import as_json
from .gan_presets import resolve
from .run import RunConfig

SPLIT_PLACEHOLDER = "{split}"


def check_references(config: RunConfig) -> None:
    """Refuse a configuration that names a preset, a folder or a module that does not exist.

    Raises:
        ConfigError: One sentence on the first that is missing; it begins with its key.
    """
    resolve(as_json(config.gan))
    for folder in config.classify.folders:
        # Folders of single splits are searched for when the splits are known.
        if SPLIT_PLACEHOLDER not in folder.path and not Path(folder.path).is_dir():
            raise no_folder(Path(folder.path))
    model_source(config)


def no_folder(folder: Path) -> ConfigError:
    """Return the error for a folder of synthetic chips that does not exist."""
    return ConfigError(f"classify.folders: {folder} is not a folder; it must hold one folder of images per class")


def model_source(config: RunConfig) -> str | None:
    """Return the source file of the user's network, or None where the ship ConvNet is trained.

    Raises:
        ConfigError: If there is no such module.
    """
    if config.classify.model is None:
        return None
    module = config.classify.model.partition(":")[0]
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise ConfigError(f"classify.model: there is no module {module}; install it, or put its folder on PYTHONPATH")
    return spec.origin
