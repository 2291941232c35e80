"""What all trials need, done once in a worker before the first of them. Light to import: a worker does so too."""

from __future__ import annotations

from collections.abc import Callable

import ray

from sweeps.search.trial import TrialJob, load_trainer


class Preparation:
    """Work that goes on in a worker from the moment this is built.

    Args:
        job: stands for all trials.
        trainer: name of the trainer.
        cpus, gpus: of one trial.
    """

    def __init__(self, job: TrialJob, trainer: str, *, cpus: int, gpus: float) -> None:
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_prepare)
        self._future = task.remote(job, trainer)

    def wait(self, is_stopping: Callable[[], bool]) -> None:
        """Wait for its end; where the sweep is being stopped, end it.

        Raises:
            UsageError: what the trials need can't be had (weights, a folder that can't be written).
        """
        while not is_stopping():
            ready, _ = ray.wait([self._future], timeout=0.5)
            if ready:
                try:
                    ray.get(self._future)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                return
        ray.cancel(self._future, force=True)


def _prepare(job: TrialJob, trainer: str) -> None:
    load_trainer(trainer).prepare(job)
