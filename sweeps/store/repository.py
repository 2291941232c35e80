"""What users do with sweeps: create, look, cancel, resume. For the command line and the service.

A running sweep whose driver has died is shown as `interrupted`, or as `cancelled` where it was to be: every read
settles that first.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import exists, select, tuple_
from sqlalchemy.exc import IntegrityError

from sweeps.errors import IdempotencyConflict, InvalidSpec, Issue, UnknownSweep, WrongState
from sweeps.spec.sweep import Resolved, SweepSpec
from sweeps.store.cursors import bad_cursor, cursor_of, read_cursor
from sweeps.store.database import Database
from sweeps.store.finding import id_of
from sweeps.store.models import LARGEST_INTEGER, AttemptRow, LeaseRow, ReportRow, RungRow, SweepRow, TrialRow
from sweeps.store.processes import is_dead
from sweeps.store.records import AttemptRecord, LeaseRecord, Page, ReportRecord, RungRecord, SweepRecord, TrialRecord
from sweeps.store.rows import (
    RESOLVED,
    attempt_record,
    counts_of,
    lease_record,
    report_record,
    rungs_of,
    sweep_record,
    sweep_row,
    trial_record,
    trial_row,
)
from sweeps.store.states import RESUMABLE, RETRIED_ON_RESUME, SWEEP_STATES, SweepState, TrialState
from sweeps.store.transitions import cancel_now, interrupt_now, is_live, queue_again

MAX_PAGE = 500
_ID_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"  # none that look alike


class Repository:
    """The store as users see it. Safe to share between threads; open one for each process."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], datetime] | None = None) -> Repository:
        """Open the database of this URL and bring its tables up to date.

        Raises:
            StoreUnavailable: it can't be reached or written.
        """
        return cls(Database.open(url, clock=clock))

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    # Sweeps

    def create_sweep(
        self, spec: SweepSpec, *, resolved: Resolved | None = None, idempotency_key: str | None = None
    ) -> tuple[SweepRecord, bool]:
        """Store a new sweep, queued.

        Args:
            spec: the checked spec.
            resolved: what its presets say now, for every drive of it; None: each drive reads them.
            idempotency_key: the same key and spec again give the same sweep.

        Returns:
            The sweep, and whether it is new.

        Raises:
            IdempotencyConflict: the key was used with another spec.
            InvalidSpec: it is to start from a sweep that is not there, or by a name that several have.
        """
        body_hash = hashlib.sha256(json.dumps(spec.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
        if known := self._of_key(idempotency_key, body_hash):
            return known, False
        body = self._with_ids(spec).model_dump(mode="json")
        try:
            with self.database.write() as session:
                row = SweepRow(
                    id=_new_id(),
                    name=spec.name,
                    spec=body if resolved is None else {**body, RESOLVED: asdict(resolved)},
                    state="queued",
                    trials_planned=spec.trials_planned,
                    created_at=self.database.now(session),
                    cancel_requested=False,
                    driver_seconds=0.0,
                    idempotency_key=idempotency_key,
                    body_hash=body_hash,
                )
                session.add(row)
                session.flush()
                return sweep_record(row, {}), True
        except IntegrityError:  # another request with the same key came first
            known = self._of_key(idempotency_key, body_hash)
            if known is None:
                raise
            return known, False

    def _with_ids(self, spec: SweepSpec) -> SweepSpec:
        """The spec with the earlier sweeps' ids in place of their names, which a later sweep may have as well."""
        warm, ids = spec.search.warm_start, []
        for index, words in enumerate(warm.sweeps):
            try:
                ids.append(self.find_sweep(words).id)
            except UnknownSweep as error:
                remedy = str(error).split(": ", 1)[1]
                raise InvalidSpec([Issue(f"search.warm_start.sweeps.{index}", words, remedy)]) from None
        search = spec.search.model_copy(update={"warm_start": warm.model_copy(update={"sweeps": ids})})
        return spec.model_copy(update={"search": search})

    def check_earlier(self, spec: SweepSpec) -> None:
        """Refuse a sweep that `create_sweep` would refuse for what it starts from.

        Raises:
            InvalidSpec: a sweep of its warm start is not there, or several have the name.
        """
        self._with_ids(spec)

    def _of_key(self, key: str | None, body_hash: str) -> SweepRecord | None:
        if key is None:
            return None
        with self.database.read() as session:
            row = session.scalar(select(SweepRow).where(SweepRow.idempotency_key == key))
            if row is None:
                return None
            if row.body_hash != body_hash:
                raise IdempotencyConflict(
                    f"Idempotency-Key={key!r}: was used for sweep {row.id} with another body; give a new key"
                )
            return sweep_record(row, counts_of(session, [row.id])[row.id])

    def get_sweep(self, sweep_id: str) -> SweepRecord:
        """A sweep by its id.

        Raises:
            UnknownSweep: there is none.
        """
        self.settle()
        with self.database.read() as session:
            return sweep_record(sweep_row(session, sweep_id), counts_of(session, [sweep_id])[sweep_id])

    def find_sweep(self, words: str) -> SweepRecord:
        """A sweep by its id, else by its name, else by the beginning of its id; the last two where only one fits.

        Raises:
            UnknownSweep: none fits, or several do.
        """
        with self.database.read() as session:
            found = id_of(session, words)
        return self.get_sweep(found)

    def list_sweeps(
        self, *, state: SweepState | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[SweepRecord]:
        """Sweeps, newest first.

        Raises:
            InvalidCursor: not a cursor of this listing.
        """
        self.settle()
        limit = max(1, min(limit, MAX_PAGE))
        query = select(SweepRow).order_by(SweepRow.created_at.desc(), SweepRow.id.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(SweepRow.state == state)
        if cursor is not None:
            created, sweep_id = read_cursor(cursor, 2)
            try:
                after = datetime.fromisoformat(created).astimezone(UTC)
            except (ValueError, OverflowError):
                raise bad_cursor(cursor) from None
            query = query.where(tuple_(SweepRow.created_at, SweepRow.id) < tuple_(after, sweep_id))
        with self.database.read() as session:
            rows = list(session.scalars(query))
            counts = counts_of(session, [row.id for row in rows])
        more = len(rows) > limit
        rows = rows[:limit]
        items = [sweep_record(row, counts[row.id]) for row in rows]
        return Page(items, cursor_of(rows[-1].created_at.isoformat(), rows[-1].id) if more else None)

    def request_cancel(self, sweep_id: str) -> SweepRecord:
        """Cancel a sweep: at once where no driver runs it, else its driver sees the request within seconds.

        Raises:
            UnknownSweep: there is none.
            WrongState: it has ended already.
        """
        self.settle()
        with self.database.write() as session:
            row = sweep_row(session, sweep_id, lock=True)
            if row.state in ("completed", "failed"):
                raise WrongState(f"sweep {sweep_id} is {row.state}: there is nothing to cancel")
            if row.state != "cancelled":
                row.cancel_requested = True
                if row.state != "running":
                    cancel_now(session, row, self.database.now(session))
        return self.get_sweep(sweep_id)

    def request_resume(self, sweep_id: str, *, states: frozenset[SweepState] = RESUMABLE) -> SweepRecord:
        """Queue an interrupted, failed or cancelled sweep again; then start its driver.

        Of a failed sweep, trials that another try may mend are queued again; of a cancelled one, its cancelled trials.

        Args:
            states: that it may be in, beside queued; fewer where nobody asked, so that a cancellation stands.

        Raises:
            UnknownSweep: there is none.
            WrongState: it is running or completed, or nothing is left to be done.
        """
        self.settle()
        with self.database.write() as session:
            row = sweep_row(session, sweep_id, lock=True)
            if row.state not in states and row.state != "queued":
                remedy = f"; search.warm_start.sweeps: [{sweep_id}] searches on" if row.state == "completed" else ""
                raise WrongState(
                    f"sweep {sweep_id} is {row.state}: only {_listed(states)} sweeps can be resumed{remedy}"
                )
            trials = list(session.scalars(select(TrialRow).where(TrialRow.sweep_id == sweep_id)))
            for trial in trials:
                if trial.state == "cancelled" or (
                    row.state == "failed" and trial.state == "failed" and trial.failure_reason in RETRIED_ON_RESUME
                ):
                    queue_again(session, trial)
            ends = Counter(
                trial.failure_reason or "stopped at a rung" for trial in trials if trial.state in ("failed", "pruned")
            )
            if row.state == "failed" and ends.total() >= row.spec["budget"]["trials"]:
                listed = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
                raise WrongState(
                    f"sweep {sweep_id}: its {ends.total()} trials have ended ({listed}) and would end so again; "
                    "submit a sweep with another space or other constraints"
                )
            row.state, row.cancel_requested = "queued", False
            row.finished_at, row.stop_reason, row.error = None, None, None
        return self.get_sweep(sweep_id)

    def fail_sweep(self, sweep_id: str, error: str) -> SweepRecord:
        """Mark a queued sweep failed because no driver could be started for it.

        Args:
            error: why, one line.

        Raises:
            UnknownSweep: there is none.
            WrongState: a driver has taken it, or it has ended.
        """
        with self.database.write() as session:
            row = sweep_row(session, sweep_id, lock=True)
            now = self.database.now(session)
            if row.state != "queued" or is_live(session.get(LeaseRow, sweep_id), now):
                raise WrongState(f"sweep {sweep_id} is {row.state}: only a queued sweep can be given up")
            cancel_now(session, row, now)
            row.state, row.error, row.stop_reason = "failed", error, "its driver did not start"
        return self.get_sweep(sweep_id)

    def sweeps_to_start(self) -> list[str]:
        """Queued and interrupted sweeps, oldest first: those that `serve` starts a driver for."""
        self.settle()
        with self.database.read() as session:
            query = (
                select(SweepRow.id).where(SweepRow.state.in_(["queued", "interrupted"])).order_by(SweepRow.created_at)
            )
            return list(session.scalars(query))

    def sweeps_cut_off(self) -> list[str]:
        """Interrupted sweeps whose driver died at work on this machine, oldest first: it did not give its lease back,
        and had seen a trial end or reach a rung. One that died without would do so again."""
        self.settle()
        ended = exists().where(TrialRow.sweep_id == LeaseRow.sweep_id, TrialRow.finished_at > LeaseRow.acquired_at)
        reached = exists().where(RungRow.sweep_id == LeaseRow.sweep_id, RungRow.at > LeaseRow.acquired_at)
        left = SweepRow.state == "interrupted", LeaseRow.holder != "", ended | reached
        query = select(LeaseRow).join(SweepRow).where(*left).order_by(SweepRow.created_at)
        with self.database.read() as session:
            return [lease.sweep_id for lease in session.scalars(query) if is_dead(lease_record(lease).process)]

    def lease(self, sweep_id: str) -> LeaseRecord | None:
        """Who drives a sweep; None where nobody does."""
        with self.database.read() as session:
            row = session.get(LeaseRow, sweep_id)
            return None if row is None or not row.holder else lease_record(row)

    def last_taken(self, sweep_id: str) -> datetime | None:
        """When a driver last took a sweep, whether or not it still has it; None: none ever did."""
        with self.database.read() as session:
            return session.scalar(select(LeaseRow.acquired_at).where(LeaseRow.sweep_id == sweep_id))

    def settle(self) -> list[str]:
        """Mark running sweeps whose driver is dead as interrupted, or as cancelled where they were to be. Returns their
        ids."""
        query = select(SweepRow, LeaseRow).outerjoin(LeaseRow).where(SweepRow.state == "running")
        with self.database.read() as session:
            now = self.database.now(session)
            dead = [sweep.id for sweep, lease in session.execute(query) if not is_live(lease, now)]
        if not dead:
            return []
        settled = []
        with self.database.write() as session:
            now = self.database.now(session)
            rows = session.execute(query.where(SweepRow.id.in_(dead)).with_for_update(of=SweepRow)).all()
            for sweep, lease in rows:
                if not is_live(lease, now):  # it may have been renewed or taken over since
                    interrupt_now(session, sweep, now)
                    settled.append(sweep.id)
        return settled

    # Trials

    def get_trial(self, sweep_id: str, number: int) -> TrialRecord:
        """One trial.

        Raises:
            UnknownSweep, UnknownTrial: there is none.
        """
        with self.database.read() as session:
            sweep_row(session, sweep_id)
            return trial_record(trial_row(session, sweep_id, number))

    def list_trials(
        self, sweep_id: str, *, state: TrialState | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[TrialRecord]:
        """Trials by number.

        Raises:
            UnknownSweep: there is none.
            InvalidCursor: not a cursor of this listing.
        """
        limit = max(1, min(limit, MAX_PAGE))
        query = select(TrialRow).where(TrialRow.sweep_id == sweep_id).order_by(TrialRow.number).limit(limit + 1)
        if state is not None:
            query = query.where(TrialRow.state == state)
        if cursor is not None:
            (number,) = read_cursor(cursor, 1)
            if not number.isdecimal() or int(number) > LARGEST_INTEGER:
                raise bad_cursor(cursor)
            query = query.where(TrialRow.number > int(number))
        with self.database.read() as session:
            sweep_row(session, sweep_id)
            rows = list(session.scalars(query))
        more = len(rows) > limit
        rows = rows[:limit]
        return Page([trial_record(row) for row in rows], cursor_of(str(rows[-1].number)) if more else None)

    def all_trials(self, sweep_id: str) -> list[TrialRecord]:
        """All trials by number.

        Raises:
            UnknownSweep: there is none.
        """
        with self.database.read() as session:
            sweep_row(session, sweep_id)
            query = select(TrialRow).where(TrialRow.sweep_id == sweep_id).order_by(TrialRow.number)
            return [trial_record(row) for row in session.scalars(query)]

    def attempts(self, sweep_id: str, number: int) -> list[AttemptRecord]:
        """A trial's attempts, the first one first."""
        query = select(AttemptRow).where(AttemptRow.sweep_id == sweep_id, AttemptRow.trial == number)
        with self.database.read() as session:
            trial_row(session, sweep_id, number)
            return [attempt_record(row) for row in session.scalars(query.order_by(AttemptRow.number))]

    def rungs(self, sweep_id: str, number: int | None = None) -> list[RungRecord]:
        """What the trials of a sweep, or one of them, measured at rungs: by trial and step."""
        with self.database.read() as session:
            return rungs_of(session, sweep_id, trial=number)

    def reports(self, sweep_id: str, number: int, *, after: int = 0) -> list[ReportRecord]:
        """A trial's reports in the order they came, from all its attempts; `after` an id, for following."""
        query = select(ReportRow).where(ReportRow.sweep_id == sweep_id, ReportRow.trial == number, ReportRow.id > after)
        with self.database.read() as session:
            trial_row(session, sweep_id, number)
            return [report_record(row) for row in session.scalars(query.order_by(ReportRow.id))]


def _listed(states: frozenset[SweepState]) -> str:
    *others, last = (state for state in SWEEP_STATES if state in states)
    return f"{', '.join(others)} and {last}" if others else last


def _new_id() -> str:
    return "s" + "".join(secrets.choice(_ID_LETTERS) for _ in range(7))
