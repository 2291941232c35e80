"""The trainer behind `ns-train f3rm`: nerfstudio's own, seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nerfstudio.engine.trainer import Trainer

from f3rm_core.training.seeding import seed_everything

if TYPE_CHECKING:
    from f3rm_core.config import F3RMTrainerConfig


class F3RMTrainer(Trainer):
    """nerfstudio's loop (viewer, checkpoints, logs) around our model and data; `f3rm_core.train` is the lean one."""

    config: F3RMTrainerConfig

    def setup(self, test_mode: Literal["test", "val", "inference"] = "val") -> None:
        seed_everything(self.config)
        super().setup(test_mode)
