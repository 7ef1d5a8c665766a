"""satpipe: does training on GAN-generated chips help a classifier, by how much, and how sure are we?

What a run left can be used from Python::

    from satpipe import load_chips, load_classifier, load_generator

    images, labels = load_generator("demo").tensors(64, label="ship", seed=1)

The three functions are in :mod:`satpipe.api`, which is imported when one of them is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import load_chips, load_classifier, load_generator

__all__ = ["load_chips", "load_classifier", "load_generator"]


def __getattr__(name: str) -> Any:
    """Import the Python interface when it is first used (PEP 562): it needs torch, and most commands do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.api"), name)


def __dir__() -> list[str]:
    """List the names of the module and of its interface."""
    return sorted({*globals(), *__all__})
