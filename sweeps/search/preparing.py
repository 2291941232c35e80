"""What all trials need, done once in a worker before the first of them. Light to import: a worker does so too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import ray

from f3rm_core import F3RMError
from sweeps.search.trial import TrialJob, load_trainer

if TYPE_CHECKING:
    from sweeps.spec.sweep import Plan

log = logging.getLogger("sweeps.driver")

_STARTS = 3
"""A worker may be killed for what others take: Ray's and the system's memory watch choose their victims."""


class Preparation:
    """Work that goes on in a worker from the moment this is built.

    Args:
        job: stands for all trials.
        trainer: name of the trainer.
        cpus, gpus: of one trial.
    """

    def __init__(self, job: TrialJob, trainer: str, *, cpus: int, gpus: float) -> None:
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_prepare)
        self._start = lambda: task.remote(job, trainer)
        self._future = self._start()

    def wait(self, is_stopping: Callable[[], bool]) -> None:
        """Wait for its end, and start it again where its worker is lost; where the sweep is being stopped, end it.

        Raises:
            UsageError: what the trials need can't be had (weights, a folder that can't be written).
            F3RMError: its worker was lost each time.
        """
        lost = 0
        while not is_stopping():
            ready, _ = ray.wait([self._future], timeout=0.5)
            if not ready:
                continue
            try:
                return ray.get(self._future)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                lost += 1
                line = str(error).strip().splitlines()[0]
                if lost == _STARTS:
                    raise F3RMError(
                        f"the worker that prepares what all trials need was lost {lost} times ({line}); "
                        "is there memory enough?"
                    ) from error
                log.warning("the worker that prepares what all trials need was lost (%s); trying again", line)
                self._future = self._start()
        ray.cancel(self._future, force=True)


def first_job(plan: Plan, sweep_id: str, sweep_folder: Path) -> TrialJob:
    """What stands for all trials while their common ground is prepared."""
    scene = plan.scene
    return TrialJob(
        sweep_id=sweep_id,
        number=0,
        token="",
        configuration=plan.configuration({}, 0),
        scene=scene.location if scene.location.startswith("embedded:") else str(scene.folder),
        objectives=(),
        steps=plan.budget_steps,
        threads=plan.spec.resources.cpus_per_trial,
        sweep_folder=sweep_folder,
    )


def _prepare(job: TrialJob, trainer: str) -> None:
    load_trainer(trainer).prepare(job)
