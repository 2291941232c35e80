"""What a driver does with its sweep. Every write checks that the driver still holds the sweep's lease."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sweeps.errors import LeaseHeld, LeaseLost, WrongState
from sweeps.store.database import Database
from sweeps.store.models import AttemptRow, LeaseRow, RungRow, SweepRow, TrialRow
from sweeps.store.overdue import Sleeps, attempt_seconds, overdue_attempts
from sweeps.store.patience import Patience, patiently
from sweeps.store.records import AttemptRecord, Failed, Process, RungRecord, SweepRecord, TrialRecord
from sweeps.store.rows import (
    attempt_record,
    counts_of,
    lease_record,
    open_attempts,
    rungs_of,
    sweep_record,
    sweep_row,
    trial_record,
    trial_row,
)
from sweeps.store.states import FINISHED_SWEEP
from sweeps.store.transitions import cancel_now, close_attempt, fail_trial, interrupt_now, is_live, release

LEASES_AWAY = 2
"""A driver that has not reached its store for so many times its lease gives the sweep up."""


class DrivenSweep:
    """A sweep held by this driver's lease. Build it with `acquire`.

    All calls are repeated while the store is away, for `patience.seconds`, but `acquire` and those of a heartbeat,
    `renew` and `fail_overdue`.

    Args:
        holder: the lease's name, new with every acquisition.
        orphans: attempts that an earlier driver left open; closed by `acquire`.
    """

    def __init__(self, database: Database, sweep_id: str, holder: str, lease_seconds: float, max_attempts: int) -> None:
        self.database = database
        self.sweep_id = sweep_id
        self.holder = holder
        self.lease_seconds = lease_seconds
        self.max_attempts = max_attempts
        self.orphans: list[AttemptRecord] = []
        self.patience = Patience(LEASES_AWAY * lease_seconds)
        self._sleeps = Sleeps(timedelta(seconds=LEASES_AWAY * lease_seconds))

    @classmethod
    def acquire(
        cls, database: Database, sweep_id: str, process: Process, *, lease_seconds: float, max_attempts: int
    ) -> DrivenSweep:
        """Take the sweep's lease; close as interrupted what an earlier driver left open and queue its trials again.

        Args:
            process: the driver's own process.
            lease_seconds: how long the lease lasts without renewal.
            max_attempts: attempts whose worker is lost, without progress between them, after which a trial fails. A
                driver's end counts a tenth: it may be the trial's doing, where it takes the machine with it.

        Raises:
            UnknownSweep: there is no such sweep.
            LeaseHeld: a live driver holds it.
            WrongState: it is completed, failed or cancelled.
        """
        held = cls(database, sweep_id, secrets.token_hex(16), lease_seconds, max_attempts)
        with database.write() as session:
            sweep = sweep_row(session, sweep_id, lock=True)
            now = database.now(session)
            lease = session.get(LeaseRow, sweep_id)
            if lease is not None and is_live(lease, now):
                found = lease_record(lease)
                raise LeaseHeld(
                    f"sweep {sweep_id} is run by process {found.process.pid} on "
                    f"{found.process.machine.split('/')[0]}; cancel it first, or wait until that driver has ended"
                )
            if sweep.state in FINISHED_SWEEP:
                raise WrongState(f"sweep {sweep_id} is {sweep.state}; `f3rm-sweeps resume {sweep_id}` queues it again")
            last_sign = now if lease is None else lease.renewed_at
            if lease is None:
                lease = LeaseRow(sweep_id=sweep_id)
                session.add(lease)
            lease.holder, lease.machine = held.holder, process.machine
            lease.pid, lease.process_started = process.pid, process.started
            lease.acquired_at = lease.renewed_at = now
            lease.expires_at = now + timedelta(seconds=lease_seconds)
            sweep.state = "running"
            sweep.started_at = sweep.started_at or now
            for attempt in open_attempts(session, sweep_id):
                held.orphans.append(attempt_record(attempt))
                # Not now: the machine may have been off for days, and the time of attempts is counted.
                ended = max(attempt.started_at, last_sign)
                held._close(session, attempt, "interrupted", "its driver died", now=ended)
        return held

    def renew(self) -> bool:
        """Prolong the lease. Returns whether the sweep is to be cancelled.

        Raises:
            LeaseLost: another driver has taken the sweep.
        """
        with self.database.write() as session:
            sweep, lease = self._held(session)
            now = self.database.now(session)
            # A machine that slept was not driving: count no more than a lease's time.
            sweep.driver_seconds += min((now - lease.renewed_at).total_seconds(), self.lease_seconds)
            self._sleeps.note(lease.renewed_at, now)
            lease.renewed_at, lease.expires_at = now, now + timedelta(seconds=self.lease_seconds)
            sweep.state = "running"  # it may have been taken for interrupted
            return sweep.cancel_requested

    def fail_overdue(self, trial_hours: float) -> list[AttemptRecord]:
        """Fail trials whose time is long up and of which nothing is heard. A worker looks at the clock when it reports;
        one that hangs does not. One that has not begun, as where Ray has no room for it, has used no time.

        Args:
            trial_hours: of all rungs together. A tenth more is given, two leases at least, all of which it was silent.

        Returns:
            Their attempts, closed; end their workers.
        """
        allowed = timedelta(hours=trial_hours)
        grace = max(allowed / 10, timedelta(seconds=2 * self.lease_seconds))
        overdue = []
        with self.database.write() as session:
            self._held(session)
            now = self.database.now(session)
            for attempt, trial in overdue_attempts(
                session, self.sweep_id, allowed=allowed, grace=grace, sleeps=self._sleeps, now=now
            ):
                message = f"not heard of since step {trial.step} of {trial.target_step}, and over {trial_hours:g} hours"
                failure = Failed("timeout", f"{message} (budget.trial_hours)")
                self._close(session, attempt, "failed", message, failure)
                overdue.append(attempt_record(attempt))
        return overdue

    @patiently
    def sweep(self) -> SweepRecord:
        """The sweep as it stands."""
        with self.database.read() as session:
            return sweep_record(sweep_row(session, self.sweep_id), counts_of(session, [self.sweep_id])[self.sweep_id])

    @patiently
    def trial(self, number: int) -> TrialRecord:
        """One of its trials."""
        with self.database.read() as session:
            return trial_record(trial_row(session, self.sweep_id, number))

    @patiently
    def trials(self) -> list[TrialRecord]:
        """All its trials, by number."""
        with self.database.read() as session:
            query = select(TrialRow).where(TrialRow.sweep_id == self.sweep_id).order_by(TrialRow.number)
            return [trial_record(row) for row in session.scalars(query)]

    @patiently
    def add_trial(
        self,
        number: int,
        *,
        parameters: Mapping[str, Any],
        configuration: Mapping[str, Any],
        optuna_trial: int | None,
        total_steps: int,
        target_step: int | None = None,
    ) -> TrialRecord:
        """Write a new trial, queued, before anything is launched.

        Args:
            number: the next free number.
            parameters: what the sampler chose.
            configuration: every parameter, seed included.
            optuna_trial: number of its row in Optuna's study.
            total_steps: steps of a full trial.
            target_step: its first rung; None: it trains to its end.

        Raises:
            LeaseLost: another driver has taken the sweep.
        """
        with self.database.write() as session:
            self._held(session)
            row = TrialRow(
                sweep_id=self.sweep_id,
                number=number,
                state="queued",
                parameters=dict(parameters),
                configuration=dict(configuration),
                seed=int(configuration["seed"]),
                optuna_trial=optuna_trial,
                created_at=self.database.now(session),
                attempts=0,
                step=0,
                total_steps=total_steps,
                target_step=total_steps if target_step is None else target_step,
                metrics={},
                pictures={},
            )
            session.add(row)
            session.flush()
            session.refresh(row)  # as every later reader gets it: JSON has no tuples
            return trial_record(row)

    @patiently
    def start_attempt(self, number: int) -> AttemptRecord:
        """Start a queued trial: from now on only this attempt's token may report on it.

        Raises:
            LeaseLost: another driver has taken the sweep.
            WrongState: the trial is not queued.
        """
        with self.database.write() as session:
            self._held(session)
            trial = self._in_state("queued", session, number)
            now = self.database.now(session)
            # A lost attempt may have reported steps that are done again.
            reached = max((rung.step for rung in rungs_of(session, self.sweep_id, trial=number)), default=0)
            trial.state, trial.attempts, trial.step = "running", trial.attempts + 1, reached
            trial.started_at = trial.started_at or now
            attempt = AttemptRow(
                token=secrets.token_hex(16),
                sweep_id=self.sweep_id,
                trial=number,
                number=trial.attempts,
                driver=self.holder,
                outcome="running",
                started_at=now,
                resumed_from_step=0,
                environment={},
            )
            session.add(attempt)
            session.flush()
            return attempt_record(attempt)

    @patiently
    def close_attempt(self, number: int, *, message: str, failure: Failed | None = None) -> TrialRecord:
        """Note that a trial's worker has ended. Nothing happens where the worker has closed the attempt itself.

        Args:
            number: the trial.
            message: what is known about the worker's end.
            failure: fail the trial with this; None: the worker was lost, queue the trial again if it may be.

        Returns:
            The trial as it is now: queued again, failed, or as its worker left it.
        """
        with self.database.write() as session:
            self._held(session)
            for attempt in open_attempts(session, self.sweep_id, trial=number):
                self._close(session, attempt, "failed" if failure else "lost", message, failure)
            session.flush()
            return trial_record(trial_row(session, self.sweep_id, number))

    @patiently
    def fail_queued_trial(self, number: int, failure: Failed) -> TrialRecord:
        """Fail a trial that can't be launched."""
        with self.database.write() as session:
            self._held(session)
            trial = self._in_state("queued", session, number)
            fail_trial(session, trial, failure, self.database.now(session))
            return trial_record(trial)

    @patiently
    def rungs(self, number: int | None = None) -> list[RungRecord]:
        """What its trials, or one of them, measured at rungs: by trial and step."""
        with self.database.read() as session:
            return rungs_of(session, self.sweep_id, trial=number)

    @patiently
    def attempt_seconds(self) -> float:
        """How long its attempts have lasted in all, those that run included; see sweeps.store.overdue."""
        with self.database.read() as session:
            return attempt_seconds(session, self.sweep_id, self._sleeps, self.database.now(session))

    @patiently
    def promote(self, number: int, *, target_step: int, reason: str) -> TrialRecord:
        """Queue a waiting trial for its next rung.

        Args:
            target_step: where it is to report next.
            reason: why it goes on, one line.

        Raises:
            LeaseLost: another driver has taken the sweep.
            WrongState: the trial does not wait.
        """
        with self.database.write() as session:
            self._held(session)
            trial = self._in_state("paused", session, number)
            self._decide(session, trial, "goes on", reason)
            trial.state, trial.target_step = "queued", target_step
            return trial_record(trial)

    @patiently
    def stop(self, number: int, *, reason: str) -> TrialRecord:
        """End a waiting trial below its last rung; its checkpoint is no longer kept.

        Raises:
            LeaseLost: another driver has taken the sweep.
            WrongState: the trial does not wait.
        """
        with self.database.write() as session:
            self._held(session)
            trial = self._in_state("paused", session, number)
            self._decide(session, trial, "stopped", reason)
            trial.state, trial.finished_at, trial.checkpoint = "pruned", self.database.now(session), None
            return trial_record(trial)

    @patiently
    def explain(self, number: int, *, reason: str) -> None:
        """Note why a trial waits.

        Raises:
            LeaseLost: another driver has taken the sweep.
            WrongState: the trial does not wait.
        """
        with self.database.write() as session:
            self._held(session)
            self._decide(session, self._in_state("paused", session, number), "waits", reason)

    @patiently
    def set_optuna_trial(self, number: int, optuna_trial: int) -> None:
        """Note which row of Optuna's study shows this trial."""
        with self.database.write() as session:
            self._held(session)
            trial_row(session, self.sweep_id, number, lock=True).optuna_trial = optuna_trial

    @patiently
    def drop_checkpoint(self, number: int) -> None:
        """Note that a trial's checkpoint is no longer kept."""
        with self.database.write() as session:
            self._held(session)
            trial_row(session, self.sweep_id, number, lock=True).checkpoint = None

    @patiently
    def finish(self, state: str, *, stop_reason: str, error: str | None = None) -> None:
        """End the sweep and give the lease back.

        Args:
            state: completed, failed or cancelled.
            stop_reason: which rule ended it.
            error: why it failed, one line.
        """
        with self.database.write() as session:
            sweep, _lease = self._held(session)
            cancel_now(session, sweep, self.database.now(session))
            sweep.state, sweep.stop_reason, sweep.error = state, stop_reason, error

    @patiently
    def interrupt(self, message: str) -> None:
        """Stop driving: trials that run are queued again, and the try does not count. Nothing ends but a sweep that was
        to be cancelled."""
        with self.database.write() as session:
            sweep, lease = self._held(session)
            for attempt in open_attempts(session, self.sweep_id):
                self._close(session, attempt, "interrupted", message)
            release(lease, now := self.database.now(session))
            interrupt_now(session, sweep, now)

    def _in_state(self, state: str, session: Session, number: int) -> TrialRow:
        trial = trial_row(session, self.sweep_id, number, lock=True)
        if trial.state != state:
            raise WrongState(f"trial {number} of sweep {self.sweep_id} is {trial.state}, not {state}")
        return trial

    def _decide(self, session: Session, trial: TrialRow, decision: str, reason: str) -> None:
        rung = session.get(RungRow, (self.sweep_id, trial.number, trial.target_step))
        if rung is None:
            raise WrongState(f"trial {trial.number} of sweep {self.sweep_id} has no result at {trial.target_step}")
        rung.decision, rung.reason, rung.decided_at = decision, reason, self.database.now(session)

    def _held(self, session: Session) -> tuple[SweepRow, LeaseRow]:
        sweep = session.get(SweepRow, self.sweep_id, with_for_update=True)
        lease = session.get(LeaseRow, self.sweep_id)
        if sweep is None or lease is None or lease.holder != self.holder:
            raise LeaseLost(f"sweep {self.sweep_id} was taken over by another driver, or deleted; this one stops")
        return sweep, lease

    def _close(
        self,
        session: Session,
        attempt: AttemptRow,
        outcome: str,
        message: str,
        failure: Failed | None = None,
        now: datetime | None = None,
    ) -> None:
        now = now or self.database.now(session)
        close_attempt(session, attempt, outcome, message, now, failure=failure, max_attempts=self.max_attempts)
