"""What the repository gives out: plain frozen values, detached from the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from sweeps.spec.sweep import Resolved
from sweeps.store.states import AttemptOutcome, RungDecision, SweepState, TrialState

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a listing; `next_cursor` is None on the last."""

    items: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as the store has it.

    Args:
        resolved: what its presets said when it was created; None: stored by a version that did not keep it.
        counts: number of trials in each state that occurs.
        trials_planned: the budget's trials.
        driver_seconds: time that drivers have held it, in all.
        stop_reason: which rule ended it (a sentence), once finished.
        error: why it failed, one line.
    """

    id: str
    name: str
    spec: Mapping[str, Any] = field(repr=False)
    resolved: Resolved | None = field(repr=False)
    state: SweepState
    trials_planned: int
    counts: Mapping[str, int]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool
    driver_seconds: float
    stop_reason: str | None
    error: str | None


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the store has it.

    Args:
        parameters: what the sampler chose.
        configuration: every parameter, seed included: repeats the trial.
        attempts: how often it was started.
        step, total_steps, loss: progress as last reported.
        target_step: the rung that it trains to, or waits at.
        metrics: its result; {} until completed.
        pictures: name -> path, relative to the sweep's folder.
        checkpoint: path relative to the sweep's folder, where one is kept.
        backend, device, threads: what it ran on, which fixes the bits on a CPU.
        seconds: training since its first step and evaluation; of a failed one, with the attempts that reached no rung.
        failure_reason: oom, diverged, crashed, lost, timeout or invalid, where failed.
        failure_message: one line; failure_detail: a traceback, where there is one.
    """

    sweep_id: str
    number: int
    state: TrialState
    parameters: Mapping[str, Any]
    configuration: Mapping[str, Any] = field(repr=False)
    seed: int
    optuna_trial: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    step: int
    total_steps: int
    target_step: int
    loss: float | None
    reported_at: datetime | None
    metrics: Mapping[str, float]
    pictures: Mapping[str, str]
    checkpoint: str | None
    backend: str | None
    device: str | None
    threads: int | None
    seconds: float | None
    failure_reason: str | None
    failure_message: str | None
    failure_detail: str | None = field(repr=False)


@dataclass(frozen=True)
class AttemptRecord:
    """One try at a trial; `number` 1 is the first."""

    token: str = field(repr=False)
    sweep_id: str
    trial: int
    number: int
    driver: str
    outcome: AttemptOutcome
    started_at: datetime
    ended_at: datetime | None
    machine: str | None
    pid: int | None
    process_started: float | None
    resumed_from_step: int
    environment: Mapping[str, Any]
    message: str | None

    @property
    def process(self) -> Process | None:
        """Its worker; None: it did not get so far as to say."""
        if self.machine is None or self.pid is None or self.process_started is None:
            return None
        return Process(self.machine, self.pid, self.process_started)


@dataclass(frozen=True)
class ReportRecord:
    """What an attempt reported at a step; `metrics` is {} for plain progress."""

    id: int
    trial: int
    attempt: int
    step: int
    loss: float | None
    metrics: Mapping[str, float]
    at: datetime


@dataclass(frozen=True)
class RungRecord:
    """What a trial measured at a rung, and what was decided there.

    Args:
        step: training steps done.
        metrics: name -> value, finite.
        seconds: training time since the trial's first step.
        decision: whether it waits there, goes on, was stopped, or completed.
        reason: of the decision, one line.
    """

    trial: int
    step: int
    attempt: int
    metrics: Mapping[str, float]
    seconds: float
    at: datetime
    decision: RungDecision
    reason: str | None
    decided_at: datetime | None


@dataclass(frozen=True)
class Process:
    """A process that can be told from a later one with the same id.

    Args:
        machine: host, boot and pid namespace, as far as they can be known.
        pid: process id on that machine.
        started: when the process started, seconds since the epoch.
    """

    machine: str
    pid: int
    started: float


@dataclass(frozen=True)
class LeaseRecord:
    """Which driver holds a sweep, and until when."""

    sweep_id: str
    holder: str
    process: Process
    acquired_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Completed:
    """How an attempt ended well: at a rung, where the trial then waits, or at the trial's last step.

    Args:
        metrics: name -> value, finite.
        steps: training steps that the trial has done.
        seconds: training time since the trial's first step.
        pictures: name -> path relative to the sweep's folder.
        checkpoint: path relative to the sweep's folder.
    """

    metrics: Mapping[str, float]
    backend: str
    device: str
    threads: int
    steps: int
    seconds: float
    pictures: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str | None = None


@dataclass(frozen=True)
class Failed:
    """How a trial failed: `reason` is one of f3rm_core.FAILURE_REASONS."""

    reason: str
    message: str
    detail: str | None = None
