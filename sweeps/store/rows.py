"""From rows to records, and small queries that several stores share."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sweeps.errors import UnknownSweep, UnknownTrial
from sweeps.spec.sweep import Resolved
from sweeps.store.models import LARGEST_INTEGER, AttemptRow, LeaseRow, ReportRow, RungRow, SweepRow, TrialRow
from sweeps.store.records import AttemptRecord, LeaseRecord, Process, ReportRecord, RungRecord, SweepRecord, TrialRecord

RESOLVED = "resolved"
"""Where a sweep's presets, resolved, are kept: in the column of its spec, beside what the user wrote."""


def sweep_row(session: Session, sweep_id: str, *, lock: bool = False) -> SweepRow:
    """The sweep's row, locked against other writers if asked.

    Raises:
        UnknownSweep: there is none.
    """
    row = session.get(SweepRow, sweep_id, with_for_update=lock or None)
    if row is None:
        raise UnknownSweep(f"sweep {sweep_id!r}: no such sweep; `f3rm-sweeps list` shows them")
    return row


def trial_row(session: Session, sweep_id: str, number: int, *, lock: bool = False) -> TrialRow:
    """The trial's row, locked against other writers if asked.

    Raises:
        UnknownTrial: there is none.
    """
    possible = number <= LARGEST_INTEGER  # no database takes a larger one, not even to look for it
    row = session.get(TrialRow, (sweep_id, number), with_for_update=lock or None) if possible else None
    if row is None:
        raise UnknownTrial(f"trial {number}: sweep {sweep_id} has no such trial")
    return row


def counts_of(session: Session, sweep_ids: list[str]) -> dict[str, dict[str, int]]:
    """Number of trials in each state, for each sweep."""
    counts: dict[str, dict[str, int]] = {sweep_id: {} for sweep_id in sweep_ids}
    query = (
        select(TrialRow.sweep_id, TrialRow.state, func.count())
        .where(TrialRow.sweep_id.in_(sweep_ids))
        .group_by(TrialRow.sweep_id, TrialRow.state)
    )
    for sweep_id, state, count in session.execute(query):
        counts[sweep_id][state] = count
    return counts


def open_attempts(session: Session, sweep_id: str, *, trial: int | None = None) -> list[AttemptRow]:
    """Attempts that have not ended, locked."""
    query = select(AttemptRow).where(AttemptRow.sweep_id == sweep_id, AttemptRow.outcome == "running")
    if trial is not None:
        query = query.where(AttemptRow.trial == trial)
    return list(session.scalars(query.order_by(AttemptRow.trial).with_for_update()))


def sweep_record(row: SweepRow, counts: Mapping[str, int]) -> SweepRecord:
    """A sweep's row as a plain value."""
    spec = {name: value for name, value in row.spec.items() if name != RESOLVED}
    return SweepRecord(
        id=row.id,
        name=row.name,
        spec=spec,
        resolved=Resolved(**row.spec[RESOLVED]) if RESOLVED in row.spec else None,
        state=row.state,  # type: ignore[arg-type]
        trials_planned=row.trials_planned,
        counts=counts,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_requested=row.cancel_requested,
        driver_seconds=row.driver_seconds,
        stop_reason=row.stop_reason,
        error=row.error,
    )


def trial_record(row: TrialRow) -> TrialRecord:
    """A trial's row as a plain value."""
    names = TrialRecord.__dataclass_fields__
    return TrialRecord(**{name: getattr(row, name) for name in names})


def attempt_record(row: AttemptRow) -> AttemptRecord:
    """An attempt's row as a plain value."""
    names = AttemptRecord.__dataclass_fields__
    return AttemptRecord(**{name: getattr(row, name) for name in names})


def report_record(row: ReportRow) -> ReportRecord:
    """A report's row as a plain value."""
    names = ReportRecord.__dataclass_fields__
    return ReportRecord(**{name: getattr(row, name) for name in names})


def rung_record(row: RungRow) -> RungRecord:
    """A rung's row as a plain value."""
    names = RungRecord.__dataclass_fields__
    return RungRecord(**{name: getattr(row, name) for name in names})


def rungs_of(session: Session, sweep_id: str, *, trial: int | None = None) -> list[RungRecord]:
    """What the sweep's trials, or one of them, measured at rungs: by trial and step."""
    query = select(RungRow).where(RungRow.sweep_id == sweep_id)
    if trial is not None:
        query = query.where(RungRow.trial == trial)
    return [rung_record(row) for row in session.scalars(query.order_by(RungRow.trial, RungRow.step))]


def lease_record(row: LeaseRow) -> LeaseRecord:
    """A lease's row as a plain value."""
    process = Process(row.machine, row.pid, row.process_started)
    return LeaseRecord(row.sweep_id, row.holder, process, row.acquired_at, row.expires_at)
