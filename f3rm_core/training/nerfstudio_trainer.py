"""The trainer behind `ns-train f3rm`: nerfstudio's own, seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from nerfstudio.engine.trainer import Trainer

from f3rm_core.training.scaling import AccumulatingGradScaler
from f3rm_core.training.seeding import seed_everything

if TYPE_CHECKING:
    from f3rm_core.config import F3RMTrainerConfig


# nerfstudio's schedules leave NumPy scalars in its checkpoints, which torch.load refuses since torch 2.6: without this
# `ns-eval`, `ns-viewer` and a resumed `ns-train` can't read them. A scalar holds no code.
torch.serialization.add_safe_globals(
    [np.core.multiarray.scalar, np.dtype, type(np.dtype(np.float64))]  # type: ignore[attr-defined]
)


class F3RMTrainer(Trainer):
    """nerfstudio's loop (viewer, checkpoints, logs) around our model and data; `f3rm_core.train` is the lean one."""

    config: F3RMTrainerConfig

    def __init__(self, config: F3RMTrainerConfig, local_rank: int = 0, world_size: int = 1) -> None:
        super().__init__(config, local_rank, world_size)
        self.grad_scaler = AccumulatingGradScaler(
            self.device.split(":")[0], enabled=self.mixed_precision or config.use_grad_scaler
        )

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        seed_everything(self.config)
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        super().setup(test_mode)
