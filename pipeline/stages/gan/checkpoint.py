"""A training's state on disk: one safetensors file, written in one move.

Tensors go in under dotted names; whatever else is needed to go on (the step, what was logged) is JSON in the file's
header. Nothing in it is code, so reading it cannot run any.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...utils.atomic_files import sync_file, sync_folder

STATE = "state"
"""Header key of the JSON."""
DIGEST = "sha256"
"""Header key of the digest of tensors and state: a training must not go on from a weight that rotted."""


def write(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Replace ``path``; a kill at any moment leaves the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(state)
    save_file(host, temporary, metadata={STATE: text, DIGEST: _digest(host, text)})
    sync_file(temporary)
    os.replace(temporary, path)
    sync_folder(path.parent)


def settle(path: Path) -> None:
    """Make a file and its name survive a power loss: a later checkpoint relies on it."""
    sync_file(path)
    for folder in (path.parent, path.parent.parent):
        sync_folder(folder)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read tensors and state; None where there is no checkpoint or a damaged one."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
            return (tensors, json.loads(header[STATE])) if header[DIGEST] == _digest(tensors, header[STATE]) else None
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)} ".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Any] | None:
    """Read only the state of a checkpoint that is there and whole."""
    content = read(path)
    return None if content is None else content[1]


def prefixed(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Return a module's weights and buffers under ``prefix.``."""
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def load_module(prefix: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill a module from tensors of :func:`prefixed`; its memory format stays."""
    module.load_state_dict(
        {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}
    )


def optimiser_tensors(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's moments and step counts under ``prefix.<parameter>.<name>``."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    return {
        f"{prefix}.{number}.{name}": value
        for number, parameter in enumerate(parameters)
        for name, value in optimiser.state[parameter].items()
    }


def load_optimiser(prefix: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Fill an optimiser from tensors of :func:`optimiser_tensors`.

    Moments take the strides of their parameter: the same kernels then run over them as before the interruption.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    optimiser.state.clear()
    for name, value in tensors.items():
        if not name.startswith(f"{prefix}."):
            continue
        number, key = name.removeprefix(f"{prefix}.").split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape and value.dim():
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        elif optimiser.defaults.get("fused"):
            value = value.to(parameter.device)
        optimiser.state[parameter][key] = value
