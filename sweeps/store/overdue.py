"""How long attempts have run, and which of them hang. Time counts from when their workers said that they had begun, and
while the driver's machine was awake: a cluster that is busy, or a laptop's lid, is not the trial's doing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from sweeps.store.models import AttemptRow, TrialRow
from sweeps.store.rows import rungs_of


class Sleeps:
    """When the driver's machine slept, as far as its own renewals show: there was none for longer than a driver that is
    awake lets pass.

    Args:
        longest: between two renewals of a driver that is awake.
    """

    def __init__(self, longest: timedelta) -> None:
        self._longest = longest
        self._seen: list[tuple[datetime, datetime]] = []

    def note(self, last: datetime, now: datetime) -> None:
        """Note two renewals that followed each other."""
        if now - last > self._longest:
            self._seen.append((last, now))

    def awake(self, start: datetime, end: datetime) -> timedelta:
        """How long it was awake between two points in time."""
        asleep = (min(end, woke) - max(start, slept) for slept, woke in self._seen if woke > start and slept < end)
        return end - start - sum(asleep, timedelta())


def attempt_seconds(session: Session, sweep_id: str, sleeps: Sleeps, now: datetime) -> float:
    """How long a sweep's attempts have lasted in all, those that run included."""
    query = select(AttemptRow.started_at, AttemptRow.ended_at).where(
        AttemptRow.sweep_id == sweep_id, AttemptRow.machine.is_not(None)
    )
    return sum(sleeps.awake(started, ended or now).total_seconds() for started, ended in session.execute(query))


def overdue_attempts(
    session: Session, sweep_id: str, *, allowed: timedelta, grace: timedelta, sleeps: Sleeps, now: datetime
) -> Iterator[tuple[AttemptRow, TrialRow]]:
    """Attempts of which nothing was heard for `grace`, and whose trials have trained for longer than `allowed` and that
    together: with their trials."""
    query = select(AttemptRow, TrialRow).join(TrialRow)
    query = query.where(
        AttemptRow.sweep_id == sweep_id, AttemptRow.outcome == "running", AttemptRow.machine.is_not(None)
    )
    query = query.where(AttemptRow.started_at < now - grace)
    query = query.where(TrialRow.reported_at.is_(None) | (TrialRow.reported_at < now - grace))
    for attempt, trial in session.execute(query).all():
        heard = max(attempt.started_at, trial.reported_at or attempt.started_at)
        reached = rungs_of(session, sweep_id, trial=trial.number)
        before = timedelta(seconds=reached[-1].seconds if reached else 0.0)
        if sleeps.awake(heard, now) > grace and sleeps.awake(attempt.started_at, now) + before > allowed + grace:
            yield attempt, trial
