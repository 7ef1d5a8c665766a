"""A training step as a CUDA graph: recorded once, then replayed by one launch in place of hundreds.

A small network keeps a GPU waiting for its launches: each operation takes microseconds, and so does launching it. What
a step computes depends on its inputs alone, so inputs are copied to where the recorded operations read them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

WARM_STEPS = 3
"""Steps of a kind that are taken operation by operation first: libraries choose kernels and take memory in them."""


class Inputs(Protocol):
    """Tensors that a step reads."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply ``change`` to every tensor, always in the same order."""


InputsT = TypeVar("InputsT", bound=Inputs)


class GraphedStep(Generic[InputsT]):
    """Takes the steps of one training on the current CUDA device.

    Everything else that a step reads or writes has to stay where it is: weights, optimiser states, learning rates as
    tensors. Whoever replaces them begins a new one.
    """

    def __init__(self, device: torch.device) -> None:
        """Begin with nothing recorded."""
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.graphs: dict[bool, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self.taken: Counter[bool] = Counter()
        self.held: InputsT | None = None
        self.memory: dict[torch.dtype, Tensor] = {}

    def play(self, inputs: InputsT, kind: bool, step: Callable[[InputsT], Tensor]) -> Tensor:
        """Take a step.

        Args:
            inputs: On the host; shapes are those of the first call.
            kind: Which of two kinds of step it is; they are recorded apart.
            step: Computes with inputs on the device, and does the same to all that it touches every time.

        Returns:
            What ``step`` returned; the next call writes over it.
        """
        held = self._hold(inputs)
        if kind not in self.graphs:
            if self.taken[kind] < WARM_STEPS:
                self.taken[kind] += 1
                return self._aside(held, step)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                result = step(held)
            self.graphs[kind] = graph, result
        graph, result = self.graphs[kind]
        graph.replay()
        return result

    def _aside(self, held: InputsT, step: Callable[[InputsT], Tensor]) -> Tensor:
        """Run operation by operation, on the stream that is recorded later."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = step(held)
        current.wait_stream(self.stream)
        return result

    def _hold(self, inputs: InputsT) -> InputsT:
        """Copy the inputs to where the recorded step reads them: one message for all numbers of a kind."""
        kinds: dict[torch.dtype, list[Tensor]] = {torch.float32: [], torch.int64: []}

        def sort(tensor: Tensor) -> Tensor:
            kinds[_kind(tensor)].append(tensor)
            return tensor

        inputs.each(sort)
        packed = {kind: torch.cat([flat.reshape(-1).to(kind) for flat in many]) for kind, many in kinds.items()}
        if self.held is None:
            self.memory = {kind: torch.empty_like(flat, device=self.device) for kind, flat in packed.items()}
            parts = {
                kind: iter(torch.split(self.memory[kind], [flat.numel() for flat in many]))
                for kind, many in kinds.items()
            }
            self.held = inputs.each(lambda tensor: next(parts[_kind(tensor)]).view(tensor.shape))
        for kind, flat in packed.items():
            # Pinned anew each time: the copy may still be under way when the next step is packed.
            self.memory[kind].copy_(flat.pin_memory(), non_blocking=True)
        return self.held


def _kind(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.is_floating_point() else torch.int64
