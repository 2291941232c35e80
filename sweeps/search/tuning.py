"""Ray Tune at work: it places trials and keeps their actors. What runs, and what is true, is decided by us."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Collection
from pathlib import Path

from ray import tune as ray_tune
from ray.tune import CheckpointConfig, FailureConfig, PlacementGroupFactory, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import FIFOScheduler

from sweeps.search.cluster import Slots
from sweeps.search.conductor import Conductor
from sweeps.search.lean_tune import lean_tune
from sweeps.search.searcher import ActorErrors, EndOverdue, StopWhen, SweepSearcher
from sweeps.search.worker import TrialWorker


def tune(
    conductor: Conductor,
    slots: Slots,
    *,
    name: str,
    sweep_folder: Path,
    trainer: str,
    is_stopping: Callable[[], bool],
    on_cancelled: Callable[[], None],
    overdue: Collection[int] = (),
) -> None:
    """Run the sweep's trials until none is left or it is being stopped.

    Args:
        conductor: knows what runs next.
        slots: trials at once, and what each gets.
        name: of this drive, new with every lease.
        sweep_folder: the sweep's folder; Ray Tune's own files live in tune/ below it and are removed.
        trainer: name of the trainer.
        is_stopping: whether running trials are to be stopped.
        on_cancelled: called when a worker was told of a cancellation.
        overdue: numbers of trials whose workers hang and are to be ended; it may grow meanwhile.

    Raises:
        Exception: whatever the conductor raised.
    """
    searcher = SweepSearcher(conductor, concurrent=slots.concurrent, trainer=trainer, on_cancelled=on_cancelled)
    # Workers of all slots start together; Ray Tune would start them one after another.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots.concurrent)

    def stop_now() -> bool:
        searcher.stopping = searcher.stopping or is_stopping()
        return searcher.stopping

    # Two Tuners with one trainable name run each other's code.
    worker = type(f"Trial_{name}", (TrialWorker,), {})
    resources = PlacementGroupFactory([{"CPU": slots.cpus, "GPU": slots.gpus}])
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    folder = sweep_folder / "tune"
    try:
        with warnings.catch_warnings(), lean_tune():
            warnings.simplefilter("ignore")
            Tuner(
                ray_tune.with_resources(worker, resources),
                tune_config=TuneConfig(
                    search_alg=searcher,
                    scheduler=FIFOScheduler(),
                    num_samples=-1,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: str(trial.trial_id),
                ),
                run_config=RunConfig(
                    name=name,
                    storage_path=str(folder),
                    stop=StopWhen(stop_now),
                    callbacks=[ActorErrors(searcher), EndOverdue(searcher, overdue)],
                    failure_config=FailureConfig(max_failures=0, fail_fast=False),
                    checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                    log_to_file=False,
                ),
            ).fit()
        if searcher.error is not None:
            raise searcher.error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
