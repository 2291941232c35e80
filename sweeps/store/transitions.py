"""What becomes of a sweep and its trials when a driver dies, a user cancels, or a sweep is resumed: steps that users'
calls and drivers share, each within a transaction of its caller's."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from sweeps.store.models import AttemptRow, LeaseRow, RungRow, SweepRow, TrialRow
from sweeps.store.processes import is_dead, this_machine
from sweeps.store.records import Failed
from sweeps.store.rows import lease_record, open_attempts, rungs_of, trial_row
from sweeps.store.studies import fail_open_rows

_STARTS_A_LOSS = 10
"""So many attempts that ended for no fault of their own count as one whose worker was lost."""


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


def interrupt_now(session: Session, sweep: SweepRow, now: datetime) -> None:
    """Note that a sweep has lost its driver: the next one goes on, unless it was to be cancelled."""
    if sweep.cancel_requested:
        cancel_now(session, sweep, now)
    else:
        sweep.state = "interrupted"


def queue_again(session: Session, trial: TrialRow) -> None:
    """A trial that had reported at its rung waits there again; every other one trains to it."""
    rung = session.get(RungRow, (trial.sweep_id, trial.number, trial.target_step))
    trial.state, trial.finished_at = "queued" if rung is None else "paused", None
    trial.failure_reason, trial.failure_message, trial.failure_detail = None, None, None


def close_attempt(
    session: Session,
    attempt: AttemptRow,
    outcome: str,
    message: str,
    now: datetime,
    *,
    failure: Failed | None,
    max_attempts: int,
) -> None:
    """End an attempt that has not ended itself, and queue its trial again or fail it.

    Args:
        outcome: "failed"; "lost", where its worker is gone; "interrupted", where its driver is.
        message: what is known of its end.
        now: when it ended, as far as is known.
        failure: what the trial fails of; None: it is tried again, if it may be.
        max_attempts: see DrivenSweep.acquire.
    """
    attempt.outcome, attempt.ended_at, attempt.message = outcome, now, message
    session.flush()
    trial = trial_row(session, attempt.sweep_id, attempt.trial, lock=True)
    ends = _ends_without_progress(session, trial)
    lost, in_vain = ends["lost"], ends["lost"] + ends["interrupted"]
    if failure is not None:
        fail_trial(session, trial, failure, now)
    elif outcome == "lost" and lost >= max_attempts:
        text = f"its worker was lost {lost} times; the last time: {message}"
        fail_trial(session, trial, Failed("lost", text), now)
    elif in_vain >= _STARTS_A_LOSS * max_attempts:
        text = f"it was started {in_vain} times and got no further; the last time: {message}"
        fail_trial(session, trial, Failed("lost", text), now)
    else:
        trial.state = "queued"


def fail_trial(session: Session, trial: TrialRow, failure: Failed, now: datetime) -> None:
    """A trial's end without a result. What it has cost: its training to its last rung, and the attempts that reached
    none."""
    session.flush()
    query = select(AttemptRow.started_at, AttemptRow.ended_at).where(
        AttemptRow.sweep_id == trial.sweep_id,
        AttemptRow.trial == trial.number,
        AttemptRow.machine.is_not(None),  # what waited for room has cost nothing
        AttemptRow.outcome.in_(["failed", "lost", "interrupted"]),
    )
    in_vain = sum((ended - started).total_seconds() for started, ended in session.execute(query) if ended)
    rungs = rungs_of(session, trial.sweep_id, trial=trial.number)
    trial.seconds = in_vain + (rungs[-1].seconds if rungs else 0.0)
    trial.state, trial.finished_at = "failed", now
    trial.failure_reason, trial.failure_message = failure.reason, failure.message
    trial.failure_detail = failure.detail


def _ends_without_progress(session: Session, trial: TrialRow) -> Counter[str]:
    """How a trial's attempts ended since the first that went on from its newest checkpoint."""
    query = select(AttemptRow.resumed_from_step, AttemptRow.outcome).where(
        AttemptRow.sweep_id == trial.sweep_id, AttemptRow.trial == trial.number
    )
    attempts = session.execute(query.order_by(AttemptRow.number)).all()
    steps = [step for step, _ in attempts]
    return Counter(outcome for _, outcome in attempts[steps.index(max(steps)) :])
