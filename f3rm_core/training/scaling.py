"""Loss scaling for half precision, where gradients of several steps are added up."""

from __future__ import annotations

from typing import Any

import torch


class AccumulatingGradScaler(torch.amp.GradScaler):
    """torch's scaler, whose `update()` does nothing after a step in which no optimizer had its turn.

    torch's own raises there. The scale so stays what it is until the gradients that it multiplied are used.
    """

    _used = False

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> float | None:
        self._used = True
        return super().step(optimizer, *args, **kwargs)

    def update(self, new_scale: float | torch.Tensor | None = None) -> None:
        if self._used:
            super().update(new_scale)
        self._used = False
