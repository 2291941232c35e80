"""Trainers that take no time: a closed form instead of a training, and ways to fail."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from f3rm_core import Diverged, OutOfMemory, Report, TrainResult
from sweeps.search.trial import TrialJob


def psnr(weight: float) -> float:
    """Falls with the weight."""
    return 20.0 - weight


def gain(weight: float) -> float:
    """Rises with the weight."""
    return weight


class Quick:
    """Does nothing and reports two metrics that pull apart."""

    def prepare(self, job: TrialJob) -> None:
        """Nothing."""

    def train(self, job: TrialJob, on_report: Callable[[Report], None], resume_from: Path | None) -> TrainResult:
        """Ten steps that take no time."""
        weight = float(job.configuration["feat_loss_weight"])
        metrics = {"psnr": psnr(weight), "feature_gain": gain(weight), "train_seconds": 0.01}
        self.work(job)
        on_report(Report(job.steps, job.steps, 0.1, metrics, 0.01))
        picture = job.folder / "panel.png"
        picture.write_bytes(PNG)
        return TrainResult(metrics, "numba", "cpu", job.threads, job.steps, 0.01, 1000, 0, None, {"panel": picture})

    def work(self, job: TrialJob) -> None:
        """Nothing."""


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
