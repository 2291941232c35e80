"""What the resource /sweeps gives out. Field names are those of the store's records."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.links import picture_url, sweep_url
from sweeps.store.records import AttemptRecord, ReportRecord, RungRecord, SweepRecord, TrialRecord
from sweeps.store.states import AttemptOutcome, RungDecision, SweepState, TrialState
from sweeps.views import rung_view, sweep_view, trial_view


class Objective(BaseModel):
    """A metric that a sweep optimises."""

    name: str = Field(examples=["psnr"])
    direction: str = Field(description="maximize or minimize", examples=["maximize"])
    unit: str = Field(examples=["dB"])


class SweepSummary(BaseModel):
    """A sweep and how it stands."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(description="Made by the service; stable.")
    name: str = Field(description="As the spec says; need not be unique.")
    state: SweepState
    scene: str
    objectives: list[Objective]
    trials_planned: int
    counts: dict[str, int] = Field(
        description="Number of trials in each state that occurs. Unless the sweep is running, none runs: those counted "
        "as running were cut off when its driver died, and are queued again when it is resumed."
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    driver_seconds: float = Field(description="Time that drivers have held it, s: what budget.hours bounds.")
    cancel_requested: bool
    stop_reason: str | None = Field(description="Which rule ended it, once finished.")
    error: str | None = Field(description="Why it failed, one line.")
    links: dict[str, str] = Field(description="Addresses of what belongs to it.")


class Sweep(SweepSummary):
    """A sweep with what was asked for."""

    spec: dict[str, Any] = Field(description="The spec with its defaults filled in.")


class ShownSweep(Sweep):
    """A sweep with what it takes."""

    disk_bytes: int = Field(description="What it takes on the service's machine, checkpoints included, bytes.")


class SweepPage(BaseModel):
    """One page of sweeps, newest first."""

    items: list[SweepSummary]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class SubmittedSweep(Sweep):
    """A sweep that was asked for, and what to beware of in it."""

    warnings: list[str] = Field(
        description="What does not refuse it: of the rules, see POST /configs/check, and options without effect."
    )


class Failure(BaseModel):
    """Why a trial failed."""

    reason: str = Field(description="oom, diverged, crashed, lost, timeout or invalid.")
    message: str | None


class TrialSummary(BaseModel):
    """A trial and how it stands."""

    number: int
    state: TrialState
    parameters: dict[str, Any] = Field(description="What the sampler chose.")
    seed: int
    attempts: int = Field(description="How often it was started.")
    step: int = Field(description="Training steps done, as last reported.")
    total_steps: int
    loss: float | None
    metrics: dict[str, float] = Field(description="Its result on held-out views; empty until completed.")
    failure: Failure | None
    backend: str | None = Field(description="Hash-grid backend: tcnn, numba or reference.")
    device: str | None
    threads: int | None
    seconds: float | None = Field(description="Training and evaluation of the attempt that finished, s.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    pictures: dict[str, str] = Field(description="Name -> address of a PNG.")


class Attempt(BaseModel):
    """One try at a trial."""

    model_config = ConfigDict(from_attributes=True)

    number: int = Field(description="1 is the first.")
    outcome: AttemptOutcome
    started_at: datetime
    ended_at: datetime | None
    machine: str | None
    resumed_from_step: int
    environment: dict[str, Any]
    message: str | None


class Report(BaseModel):
    """What an attempt reported at a step."""

    model_config = ConfigDict(from_attributes=True)

    attempt: int
    step: int
    loss: float | None
    metrics: dict[str, float] = Field(description="Empty for plain progress.")
    at: datetime


class Rung(BaseModel):
    """What a trial measured at a rung, and what was decided there."""

    step: int
    attempt: int
    metrics: dict[str, float]
    seconds: float = Field(description="Training time since the trial's first step, s.")
    at: datetime
    decision: RungDecision
    reason: str | None = Field(description="Why, such as: rank 7 of 9 at step 3000.")
    decided_at: datetime | None


class Trial(TrialSummary):
    """A trial with everything that repeats it and all that it reported."""

    configuration: dict[str, Any] = Field(description="Every parameter, seed included.")
    failure_detail: str | None = Field(description="A traceback, where there is one.")
    attempt_history: list[Attempt]
    rungs: list[Rung]
    reports: list[Report]


class TrialPage(BaseModel):
    """One page of trials, by number."""

    items: list[TrialSummary]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


_LINKS = ("trials", "pareto", "hypervolume", "winner", "export")


def sweep_summary(record: SweepRecord) -> SweepSummary:
    """A record of the store as the service shows it in a list."""
    return SweepSummary(**sweep_view(record), links=_links(record))


def sweep_detail(record: SweepRecord) -> Sweep:
    """A record of the store as the service shows it alone."""
    return Sweep(**sweep_view(record, spec=True), links=_links(record))


def shown_sweep(record: SweepRecord, disk_bytes: int) -> ShownSweep:
    """A record of the store as the service answers to who looks at it."""
    return ShownSweep(**sweep_view(record, spec=True), links=_links(record), disk_bytes=disk_bytes)


def submitted_sweep(record: SweepRecord, warnings: list[str]) -> SubmittedSweep:
    """A record of the store as the service answers to the request that made it."""
    return SubmittedSweep(**sweep_view(record, spec=True), links=_links(record), warnings=warnings)


def trial_summary(record: TrialRecord) -> TrialSummary:
    """A trial of the store as the service shows it in a list."""
    return TrialSummary(**_with_addresses(record))


def trial_detail(
    record: TrialRecord, attempts: list[AttemptRecord], rungs: list[RungRecord], reports: list[ReportRecord]
) -> Trial:
    """A trial of the store as the service shows it alone."""
    return Trial(
        **_with_addresses(record),
        configuration=dict(record.configuration),
        failure_detail=record.failure_detail,
        attempt_history=[Attempt.model_validate(attempt) for attempt in attempts],
        rungs=[Rung(**rung_view(rung)) for rung in rungs],
        reports=[Report.model_validate(report) for report in reports],
    )


def _links(record: SweepRecord) -> dict[str, str]:
    own = "claims" if record.spec.get("kind") == "ablation" else "importance"
    return {"self": sweep_url(record.id, ""), **{part: sweep_url(record.id, part) for part in (*_LINKS, own)}}


def _with_addresses(record: TrialRecord) -> dict[str, Any]:
    pictures = {name: picture_url(record.sweep_id, record.number, name) for name in record.pictures}
    return {**trial_view(record), "pictures": pictures}
