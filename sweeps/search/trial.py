"""One attempt at a trial, in a worker process: train, report with the attempt's token, store the end.

Knows nothing of Ray: the driver's workers call `run_attempt`, tests call it directly.
"""

from __future__ import annotations

import gc
import importlib
import math
import platform
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

from f3rm_core import (
    TABLE_OPTIMIZER,
    CheckpointError,
    InvalidParameter,
    Report,
    SceneError,
    TrainingFailed,
    TrainResult,
    UsageError,
    load_scene,
    scene_digest,
)
from sweeps.analysis.provenance import SCENE_DIGEST
from sweeps.errors import F3RMError, StaleAttempt, StoreUnavailable
from sweeps.store.attempts import AttemptStore
from sweeps.store.patience import Patience
from sweeps.store.processes import this_process
from sweeps.store.records import Completed, Failed

Outcome = Literal["completed", "failed", "spoiled", "stale", "cancelled"]
"""How an attempt ended. "spoiled": failed so that its process must not train again."""

DEFAULT_TRAINER = "sweeps.search.trial:F3RMTrainer"
REPORT_SECONDS = 0.5
"""Plain progress goes to the store no more often than this."""

PATIENCE = Patience(120.0)
"""Of a worker with a store that can't be reached."""

_DETAIL_CHARACTERS = 20_000
_MEMORY = "peak_memory_gb"
_PACKAGES = ("f3rm-sweeps", "torch", "nerfstudio", "numba", "numpy", "open_clip_torch", "ray", "optuna")


@dataclass(frozen=True)
class TrialJob:
    """Everything that a worker must know of one attempt.

    Args:
        token: the attempt's right to report.
        configuration: every parameter, seed included.
        scene: `embedded:NAME` or the scene's folder.
        objectives: metrics that the result must have.
        steps: training steps to have done when it reports: its next rung.
        threads: CPU threads.
        sweep_folder: the sweep's folder; the trial's own lies in it under trials/.
        trial_hours: a trial that takes longer fails with `timeout`.
        hours_before: of them, what earlier attempts have used.
        peak_memory_gb_before: the most that it took up to the last rung.
        shares_gpu: whether others may run on its GPU: out of memory may be their fault.
    """

    sweep_id: str
    number: int
    token: str
    configuration: Mapping[str, Any]
    scene: str
    objectives: tuple[str, ...]
    steps: int
    threads: int
    sweep_folder: Path
    trial_hours: float | None = None
    hours_before: float = 0.0
    peak_memory_gb_before: float = 0.0
    shares_gpu: bool = False

    @property
    def folder(self) -> Path:
        """Folder of this trial's pictures and checkpoints, shared by its attempts."""
        return self.sweep_folder / "trials" / f"{self.number:04d}"

    @property
    def checkpoint_folder(self) -> Path:
        """Folder of this trial's checkpoints."""
        return self.folder / "checkpoints"


class Trainer(Protocol):
    """What trains a job. F3RMTrainer is the one that counts; tests and simulations bring their own."""

    def prepare(self, job: TrialJob) -> None:
        """Do once, before the first trial, what all trials need. What it raises ends the sweep."""

    def train(self, job: TrialJob, on_report: Callable[[Report], None], resume_from: Path | None) -> TrainResult:
        """Train the job to its end; `on_report` may raise to stop it."""


class F3RMTrainer:
    """Trains F3RM."""

    def prepare(self, job: TrialJob) -> None:
        """Extract and cache the scene's features, and load what every trial imports."""
        from f3rm_core import build_config, load_scene, prepare_scene

        config = build_config(job.configuration, seed=job.configuration["seed"])
        prepare_scene(config, load_scene(job.scene))

    def train(self, job: TrialJob, on_report: Callable[[Report], None], resume_from: Path | None) -> TrainResult:
        """Train the configuration, with checkpoints and pictures in the trial's folder."""
        from f3rm_core import build_config, load_scene, train

        # Presets save every 5000 steps; a trial of 600 must have something to resume from as well.
        often = min(int(job.configuration["steps_per_save"]), max(100, job.steps // 5))
        config = build_config({**job.configuration, "steps_per_save": often}, seed=job.configuration["seed"])
        return train(
            config,
            load_scene(job.scene),
            budget_steps=job.steps,
            on_report=on_report,
            checkpoint_dir=job.checkpoint_folder,
            resume_from=resume_from,
            threads=job.threads,
            pictures_dir=job.folder,
        )


def load_trainer(path: str) -> Trainer:
    """The trainer named `module:attribute`."""
    module, _, attribute = path.partition(":")
    trainer: Trainer = getattr(importlib.import_module(module), attribute)()
    return trainer


class _Cancelled(Exception):
    """The sweep is to be cancelled."""


class _TimedOut(TrainingFailed):
    """The trial took longer than its budget."""

    reason = "timeout"


def run_attempt(job: TrialJob, store: AttemptStore, trainer: Trainer) -> Outcome | Failed:
    """Train a job and store its end under the attempt's token.

    Args:
        job: what to train.
        store: where to report.
        trainer: what trains it.

    Returns:
        How the attempt ended. "stale" and "cancelled" store nothing: somebody else has decided. A failure is one that
        is not stored either: out of memory on a shared GPU, of which the driver knows who else was there.

    Raises:
        StoreUnavailable: the store stayed away. The attempt is lost, whatever its end was. Nothing that training can
            cause is raised.
    """
    where: dict[str, Any] = {}

    def start_at(step: int) -> None:
        process = this_process()
        PATIENCE(lambda: store.identify(job.token, process, environment=where, resumed_from_step=step))

    try:
        start_at(0)  # before any file is looked at: a disk that hangs is the usual reason to end a worker from outside
        job.folder.mkdir(parents=True, exist_ok=True)
        where = environment(job)
        completed = _completed(job, _train(job, store, trainer, start_at))
    except StaleAttempt:
        return "stale"
    except _Cancelled:
        return "cancelled"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | StoreUnavailable):
            raise
        failure = failure_of(error)
        if job.shares_gpu and failure.reason == "oom":
            return failure
        # An unknown exception may leave a broken GPU context or library behind.
        outcome: Outcome = "spoiled" if failure.reason == "crashed" else "failed"
        del error
        gc.collect()
        return _finish(store, job, failure, outcome)
    return _finish(store, job, completed, "completed")


def failure_of(error: BaseException) -> Failed:
    """The reason of a failure, one line about it, and the traceback where the reason is not the user's to mend."""
    line = str(error).strip().splitlines()[0][:500] if str(error).strip() else type(error).__name__
    detail = "".join(traceback.format_exception(error))[-_DETAIL_CHARACTERS:]
    if isinstance(error, TrainingFailed):
        return Failed(error.reason, line, detail)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Failed("oom", f"out of memory: {line}", detail)
    if isinstance(error, InvalidParameter):
        return Failed("invalid", line)
    if isinstance(error, UsageError):
        return Failed("crashed", line, detail)
    return Failed("crashed", f"{type(error).__name__}: {line}", detail)


def environment(job: TrialJob) -> dict[str, Any]:
    """What fixes the bits of a training beside its configuration: versions, thread count, the optimizer's rule, and the
    scene's content."""
    versions: dict[str, Any] = {
        "python": platform.python_version(),
        "threads": job.threads,
        "table_optimizer": TABLE_OPTIMIZER,
    }
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    with suppress(SceneError):  # the training will say it, and the trial fail with it
        versions[SCENE_DIGEST] = scene_digest(load_scene(job.scene))
    return versions


def _train(job: TrialJob, store: AttemptStore, trainer: Trainer, start_at: Callable[[int], None]) -> TrainResult:
    """Train on from the newest checkpoint; `start_at` is told its step."""
    on_report = _reporter(job, store)
    if step := max((_step_of(checkpoint) for checkpoint in job.checkpoint_folder.glob("step-*.ckpt")), default=0):
        start_at(step)
        try:
            return trainer.train(job, on_report, job.checkpoint_folder)
        except CheckpointError:
            # Half a file from a machine that lost power: what it held is done again.
            shutil.rmtree(job.checkpoint_folder, ignore_errors=True)
    start_at(0)
    return trainer.train(job, on_report, None)


def _step_of(checkpoint: Path) -> int:
    """f3rm_core names a checkpoint by its step: step-000000600.ckpt."""
    return int(checkpoint.stem.rpartition("-")[2])


def _reporter(job: TrialJob, store: AttemptStore) -> Callable[[Report], None]:
    hours_left = math.inf if job.trial_hours is None else job.trial_hours - job.hours_before
    deadline = time.monotonic() + hours_left * 3600
    last = -math.inf

    def on_report(report: Report) -> None:
        nonlocal last
        now = time.monotonic()
        if now > deadline:
            raise _TimedOut(
                f"still at step {report.step} of {job.steps} after {job.trial_hours:g} hours (budget.trial_hours)"
            )
        if not report.metrics and now - last < REPORT_SECONDS:
            return
        last = now
        try:
            cancelled = store.report(job.token, step=report.step, loss=report.loss, metrics=report.metrics)
        except StoreUnavailable:
            return  # progress is not worth a training; the end is offered for longer
        if cancelled:
            raise _Cancelled

    return on_report


def _completed(job: TrialJob, result: TrainResult) -> Completed:
    missing = [name for name in job.objectives if name not in result.metrics]
    if missing:
        raise F3RMError(f"the training gave no {', '.join(missing)}; take it out of objectives")
    broken = [name for name in job.objectives if not math.isfinite(result.metrics[name])]
    if broken:
        raise _DivergedResult(f"{broken[0]} is {result.metrics[broken[0]]}: the training diverged")
    metrics = {name: float(value) for name, value in result.metrics.items() if math.isfinite(value)}
    if _MEMORY in metrics:  # a trial that went on from a rung has had more than one process
        metrics[_MEMORY] = max(metrics[_MEMORY], job.peak_memory_gb_before)
    return Completed(
        metrics=metrics,
        backend=result.backend,
        device=result.device,
        threads=result.threads,
        steps=result.steps,
        seconds=result.seconds,
        pictures={name: _relative(path, job) for name, path in result.pictures.items()},
        checkpoint=_relative(result.checkpoint, job) if result.checkpoint else None,
    )


class _DivergedResult(TrainingFailed):
    """A metric of the finished training is not finite."""

    reason = "diverged"


def _relative(path: Path, job: TrialJob) -> str:
    return path.resolve().relative_to(job.sweep_folder.resolve()).as_posix()


def _finish(store: AttemptStore, job: TrialJob, end: Completed | Failed, outcome: Outcome) -> Outcome:
    try:
        PATIENCE(lambda: store.finish(job.token, end))
    except StaleAttempt:
        return "stale"
    return outcome
