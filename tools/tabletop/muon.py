"""The Muon optimizer in single precision: momentum, made orthogonal, for the matrices of a transformer.

torch.optim.Muon works in bfloat16, which is slow on processors without matrix units for it.
Source: Jordan et al. 2024, Muon; scale of the update: Liu et al. 2025, Muon is Scalable for LLM Training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration that drives all singular values towards 1."""

ITERATIONS = 4


class Muon(torch.optim.Optimizer):
    """For two-dimensional parameters only; those of one shape are updated together."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                self._update(parameters, group["lr"], group["momentum"], group["weight_decay"])

    def _update(self, parameters: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        steps = []
        for parameter in parameters:
            state = self.state[parameter]
            average = state.setdefault("average", torch.zeros_like(parameter))
            assert parameter.grad is not None
            average.lerp_(parameter.grad, 1 - momentum)
            steps.append(parameter.grad.lerp(average, momentum))
        rows, columns = parameters[0].shape
        scale = 0.2 * max(rows, columns) ** 0.5  # elements then change about as much as with Adam
        for parameter, direction in zip(parameters, orthogonalized(torch.stack(steps)), strict=True):
            parameter.mul_(1 - lr * weight_decay).add_(direction, alpha=-lr * scale)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Matrices [matrices, rows, columns] with the same singular vectors, and singular values near 1."""
    a, b, c = COEFFICIENTS
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-9)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT
