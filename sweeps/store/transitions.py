"""What becomes of a sweep and its trials when a driver dies, a user cancels, or a sweep is resumed: steps that users'
calls and drivers share, each within a transaction of its caller's."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from sweeps.store.models import LeaseRow, RungRow, SweepRow, TrialRow
from sweeps.store.processes import is_dead, this_machine
from sweeps.store.rows import lease_record, open_attempts
from sweeps.store.studies import fail_open_rows


def is_live(lease: LeaseRow | None, now: datetime) -> bool:
    """Whether a lease is held by a driver that may still live. One of this machine is looked at: after a suspended
    night its lease is old, and it goes on. Of one elsewhere only the lease is known."""
    if lease is None or not lease.holder:
        return False
    process = lease_record(lease).process
    return not is_dead(process) if process.machine == this_machine() else lease.expires_at > now


def release(lease: LeaseRow, now: datetime) -> None:
    """Give a lease back, or take it away: its holder may write no more. The row stays, to tell when it was taken."""
    lease.holder, lease.expires_at = "", now


def cancel_now(session: Session, sweep: SweepRow, now: datetime) -> None:
    """End a sweep as cancelled, with whatever of it is not finished, and whoever drives it."""
    if (lease := session.get(LeaseRow, sweep.id)) is not None:
        release(lease, now)
    for attempt in open_attempts(session, sweep.id):
        attempt.outcome, attempt.ended_at, attempt.message = "cancelled", now, "the sweep was cancelled"
    query = select(TrialRow).where(TrialRow.sweep_id == sweep.id, TrialRow.state.in_(["queued", "running", "paused"]))
    for trial in session.scalars(query):
        trial.state, trial.finished_at = "cancelled", now
    fail_open_rows(session, sweep, now)
    sweep.state, sweep.finished_at, sweep.stop_reason = "cancelled", now, "cancelled by request"


def queue_again(session: Session, trial: TrialRow) -> None:
    """A trial that had reported at its rung waits there again; every other one trains to it."""
    rung = session.get(RungRow, (trial.sweep_id, trial.number, trial.target_step))
    trial.state, trial.finished_at = "queued" if rung is None else "paused", None
    trial.failure_reason, trial.failure_message, trial.failure_detail = None, None, None
