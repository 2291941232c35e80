"""The Ray Tune side of a worker: one actor, many trials, so that torch and nerfstudio are imported once a slot."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

from ray import tune

from sweeps.search.trial import PATIENCE, TrialJob, load_trainer, run_attempt
from sweeps.settings import Settings
from sweeps.store.attempts import AttemptStore
from sweeps.store.database import Database
from sweeps.store.records import Failed

OUT_OF_MEMORY = "out of memory"
"""Outcome of an attempt whose failure the driver has to judge: its GPU was shared."""


class SpoiledWorker(Exception):
    """Raised after a crash was stored: Ray Tune then gives the next trial a new process."""


class TrialWorker(tune.Trainable):
    """An actor that trains one job after another.

    Its config is what Ray Tune keeps on disk: the job and the trainer's name, never the database's URL, which comes
    from the process's environment.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Open the store; the job comes with the config."""
        _die_with_parent()
        url = Settings.from_environment().store_url
        self._store = AttemptStore(PATIENCE(lambda: Database.open(url)))
        self._trainer = load_trainer(config["trainer"])
        self._job: TrialJob = config["job"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job."""
        self._job = new_config["job"]
        return True

    def step(self) -> dict[str, Any]:
        """Train the job to its end. Its result is in the store; Ray Tune learns only how it ended."""
        outcome = run_attempt(self._job, self._store, self._trainer)
        if isinstance(outcome, Failed):
            return {"done": True, "outcome": OUT_OF_MEMORY, "message": outcome.message, "detail": outcome.detail}
        if outcome == "spoiled":
            raise SpoiledWorker(f"trial {self._job.number} crashed; the store has the traceback")
        return {"done": True, "outcome": outcome}

    def cleanup(self) -> None:
        """Close the store."""
        self._store.database.close()


def _die_with_parent() -> None:
    """Let the kernel kill this worker when the Ray node that started it is gone: a training that nobody waits for would
    go on until it next speaks to Ray. Linux only; elsewhere the next driver ends it."""
    if not sys.platform.startswith("linux"):
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() == 1:  # it was gone before we asked
        os._exit(1)
