"""What users, drivers and workers do to a store, one call each."""

from __future__ import annotations

import os
from typing import Any

from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import this_process
from sweeps.store.records import AttemptRecord, Completed, Process, SweepRecord
from sweeps.store.repository import Repository

ELSEWHERE = Process("another-machine", 1, 0.0)
DEAD_HERE = Process(this_process().machine, os.getpid(), this_process().started - 100.0)
"""A process of this machine that had our number and is gone."""


def a_spec(name: str = "a-sweep", trials: int = 3) -> SweepSpec:
    document: dict[str, Any] = {
        "name": name,
        "space": {"max_res": {"type": "int", "low": 64, "high": 128}},
        "budget": {"trials": trials},
    }
    return parse_spec(document)


def starting_from(*sweeps: str, name: str = "a-sweep") -> SweepSpec:
    return parse_spec({**a_spec(name).model_dump(), "search": {"warm_start": {"sweeps": list(sweeps)}}})


def a_sweep(repository: Repository, name: str = "a-sweep", trials: int = 3) -> SweepRecord:
    return repository.create_sweep(a_spec(name, trials))[0]


def drive(repository: Repository, sweep_id: str, process: Process = ELSEWHERE, max_attempts: int = 3) -> DrivenSweep:
    return DrivenSweep.acquire(repository.database, sweep_id, process, lease_seconds=30.0, max_attempts=max_attempts)


def add(held: DrivenSweep, number: int = 0, *, total_steps: int = 10, target_step: int | None = None) -> None:
    held.add_trial(
        number,
        parameters={"max_res": 100},
        configuration={"max_res": 100, "seed": 7},
        optuna_trial=number,
        total_steps=total_steps,
        target_step=target_step,
    )


def launch(held: DrivenSweep, number: int = 0, **steps: Any) -> AttemptRecord:
    add(held, number, **steps)
    return held.start_attempt(number)


def begin(held: DrivenSweep, number: int = 0) -> AttemptRecord:
    """Start a queued trial, and let its worker say that it has begun."""
    attempt = held.start_attempt(number)
    AttemptStore(held.database).identify(attempt.token, ELSEWHERE, environment={})
    return attempt


GOOD = Completed(metrics={"psnr": 20.5}, backend="numba", device="cpu", threads=1, steps=10, seconds=2.5)
