"""Trainers that take no time: a closed form instead of a training, and every way to fail. Workers import it by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from f3rm_core import Diverged, OutOfMemory, Report, TrainResult
from sweeps.search.trial import TrialJob
from sweeps.settings import Settings
from sweeps.store.attempts import AttemptStore
from sweeps.store.database import Database
from sweeps.store.records import Process

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)
"""A picture of one pixel."""


def metrics_of(weight: float) -> dict[str, float]:
    """Two metrics that pull apart, in closed form."""
    return {"psnr": 20.0 - weight, "feature_gain": weight / 10.0, "train_seconds": 0.01}


class Quick:
    """Trains in no time."""

    def prepare(self, job: TrialJob) -> None:
        """Nothing."""

    def train(self, job: TrialJob, on_report: Callable[[Report], None], resume_from: Path | None) -> TrainResult:
        """Report once and leave a picture and a checkpoint."""
        metrics = metrics_of(float(job.configuration["feat_loss_weight"]))
        self.work(job, on_report)
        on_report(Report(job.steps, job.steps, 0.1, metrics, 0.01))
        picture = job.folder / "panel.png"
        picture.write_bytes(PNG)
        job.checkpoint_folder.mkdir(exist_ok=True)
        checkpoint = job.checkpoint_folder / "step-000000010.ckpt"
        checkpoint.write_text("weights")
        return TrainResult(
            metrics, "numba", "cpu", job.threads, job.steps, 0.01, 1000, 0, checkpoint, {"panel": picture}
        )

    def work(self, job: TrialJob, on_report: Callable[[Report], None]) -> None:
        """Nothing."""


class Slow(Quick):
    """Takes a quarter of a second, and notes each start in a file."""

    def work(self, job: TrialJob, on_report: Callable[[Report], None]) -> None:
        """Note the start, then wait."""
        with (job.sweep_folder / "starts").open("a") as file:
            file.write(f"{job.number}\n")
        time.sleep(0.25)


class Legs(Quick):
    """Trains on from its checkpoint, and notes each leg in a file: trial, from where, to where."""

    def train(self, job: TrialJob, on_report: Callable[[Report], None], resume_from: Path | None) -> TrainResult:
        """Wait a fifth of a second between its checkpoint and its next rung; train longer, get better."""
        checkpoints = sorted(resume_from.glob("*.ckpt")) if resume_from is not None else []
        step = int(checkpoints[-1].stem.removeprefix("step-")) if checkpoints else 0
        with (job.sweep_folder / "legs").open("a") as file:
            file.write(f"{job.number} {step} {job.steps}\n")
        time.sleep(0.2)
        job.checkpoint_folder.mkdir(exist_ok=True)
        checkpoint = job.checkpoint_folder / f"step-{job.steps:09d}.ckpt"
        half = checkpoint.with_suffix(".half")
        half.write_text("weights")
        half.replace(checkpoint)
        metrics = metrics_of(float(job.configuration["feat_loss_weight"]))
        metrics = {**metrics, "psnr": metrics["psnr"] + job.steps / 1000, "train_seconds": job.steps / 100}
        return TrainResult(metrics, "numba", "cpu", job.threads, job.steps, job.steps / 100, 1000, 0, checkpoint, {})


class Endless(Quick):
    """Never ends by itself."""

    def work(self, job: TrialJob, on_report: Callable[[Report], None]) -> None:
        """Report again and again."""
        step = 0
        while True:
            step += 1
            on_report(Report(step, 10**9, 0.1, {}, 0.01))
            time.sleep(0.05)


class Troubled(Quick):
    """Each trial goes wrong in its own way."""

    def work(self, job: TrialJob, on_report: Callable[[Report], None]) -> None:
        """By the trial's number: see test_driver."""
        before = len(list(job.folder.glob("try-*")))
        (job.folder / f"try-{before}").touch()
        if job.number == 1:
            raise Diverged("loss is nan at step 3")
        if job.number == 2:
            raise OutOfMemory("wanted 99 GB")
        if job.number == 3:
            raise ValueError("a bug")
        if job.number == 4 and before == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.number == 5:
            os.kill(os.getpid(), signal.SIGKILL)


class Greedy(Slow):
    """Two trials run out of memory: one the first time only, as if its neighbour had taken it, one each time."""

    def work(self, job: TrialJob, on_report: Callable[[Report], None]) -> None:
        """By the trial's number: see test_driver."""
        before = len(list(job.folder.glob("try-*")))
        (job.folder / f"try-{before}").touch()
        if job.number == 3 or (job.number == 1 and before == 0):
            raise OutOfMemory("wanted 99 GB")
        super().work(job, on_report)


class Hopeless(Quick):
    """What all trials need can't be had."""

    def prepare(self, job: TrialJob) -> None:
        """Fail as missing weights do."""
        from f3rm_core import WeightsUnavailable

        raise WeightsUnavailable("weights openai of ViT-L-14: can't be reached; give a file as clip_pretrained")


class KilledFirst(Quick):
    """Its preparation is killed the first time, as by the system where memory is short."""

    def prepare(self, job: TrialJob) -> None:
        """Note the start, and die at the first one."""
        starts = job.sweep_folder / "preparations"
        before = len(starts.read_text()) if starts.exists() else 0
        starts.write_text("x" * (before + 1))
        if before == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class KilledAlways(Quick):
    """Its preparation is killed each time."""

    def prepare(self, job: TrialJob) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


class Hanging(Quick):
    """The first trial hangs, and says nothing."""

    def work(self, job: TrialJob, on_report: Callable[[Report], None]) -> None:
        """Report once, then never again."""
        if job.number == 0:
            on_report(Report(1, job.steps, 0.1, {}, 0.01))
            time.sleep(10**6)


class HangingElsewhere(Hanging):
    """The first trial hangs on a machine where the driver can end nothing itself, as far as the store knows."""

    def work(self, job: TrialJob, on_report: Callable[[Report], None]) -> None:
        """Say that it runs elsewhere."""
        if job.number == 0:
            attempts = AttemptStore(Database.open(Settings.from_environment().store_url))
            attempts.identify(job.token, Process("another-machine", 1, 0.0), environment={})
        super().work(job, on_report)
