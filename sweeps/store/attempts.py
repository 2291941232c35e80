"""What a worker does with its attempt. The token is the right to write; a closed attempt's is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sweeps.errors import StaleAttempt
from sweeps.store.database import Database
from sweeps.store.models import AttemptRow, ReportRow, RungRow, SweepRow, TrialRow
from sweeps.store.records import Completed, Failed, Process
from sweeps.store.rows import trial_row
from sweeps.store.transitions import fail_trial

KEPT_LOSSES = 100
"""Plain progress is kept about so often in a trial, for a curve; in between it only shows as the trial's own step."""


class AttemptStore:
    """The store as a worker sees it: one attempt at a time, each call with its token."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def identify(
        self, token: str, process: Process, *, environment: Mapping[str, Any], resumed_from_step: int = 0
    ) -> None:
        """Note where the attempt runs and what fixes its bits (versions, device, threads). Its time counts from the
        first such note: until then it may have waited for room on the cluster.

        Raises:
            StaleAttempt: the attempt was closed.
        """
        with self.database.write() as session:
            attempt, _trial = self._open(session, token)
            if attempt.machine is None:
                attempt.started_at = self.database.now(session)
            attempt.machine, attempt.pid, attempt.process_started = process.machine, process.pid, process.started
            attempt.environment, attempt.resumed_from_step = dict(environment), resumed_from_step

    def report(self, token: str, *, step: int, loss: float | None, metrics: Mapping[str, float]) -> bool:
        """Note progress; with metrics it is kept for good.

        Args:
            step: training steps done.
            loss: the training loss; None or not finite: not known.
            metrics: held-out metrics at this step; {} for plain progress.

        Returns:
            Whether the sweep is to be cancelled: then stop training.

        Raises:
            StaleAttempt: the attempt was closed.
        """
        loss = loss if loss is not None and math.isfinite(loss) else None
        with self.database.write() as session:
            attempt, trial = self._open(session, token)
            now = self.database.now(session)
            before, total = trial.step, max(1, trial.total_steps)
            trial.step, trial.loss, trial.reported_at = step, loss, now
            if metrics or step * KEPT_LOSSES // total != before * KEPT_LOSSES // total:
                report = ReportRow(
                    sweep_id=trial.sweep_id,
                    trial=trial.number,
                    attempt=attempt.number,
                    step=step,
                    loss=loss,
                    metrics=dict(metrics),
                    at=now,
                )
                session.add(report)
            return bool(session.scalar(select(SweepRow.cancel_requested).where(SweepRow.id == trial.sweep_id)))

    def finish(self, token: str, result: Completed | Failed) -> None:
        """Store the attempt's end, exactly once: the trial completes at its last step, and waits at an earlier one.

        Raises:
            StaleAttempt: the attempt was closed, by this call before or by somebody else.
            ValueError: a metric is not finite.
        """
        if isinstance(result, Completed):
            broken = {name: value for name, value in result.metrics.items() if not math.isfinite(value)}
            if broken:
                raise ValueError(f"metrics must be finite: {broken}")
        with self.database.write() as session:
            attempt, trial = self._open(session, token)
            now = self.database.now(session)
            attempt.ended_at = now
            if isinstance(result, Completed):
                at_last = result.steps >= trial.total_steps
                attempt.outcome = trial.state = "completed" if at_last else "paused"
                if at_last:
                    trial.finished_at, trial.metrics = now, dict(result.metrics)
                trial.pictures, trial.checkpoint = dict(result.pictures), result.checkpoint
                trial.seconds, trial.step = result.seconds, result.steps
                trial.backend, trial.device, trial.threads = result.backend, result.device, result.threads
                session.add(_rung(attempt, result, now))
            else:
                attempt.outcome, attempt.message = "failed", f"{result.reason}: {result.message}"
                fail_trial(session, trial, result, now)

    def _open(self, session: Session, token: str) -> tuple[AttemptRow, TrialRow]:
        attempt = session.get(AttemptRow, token, with_for_update=True)
        if attempt is None or attempt.outcome != "running":
            outcome = "is unknown" if attempt is None else f"was closed ({attempt.outcome})"
            raise StaleAttempt(f"this attempt {outcome}: its reports are refused")
        return attempt, trial_row(session, attempt.sweep_id, attempt.trial, lock=True)


def _rung(attempt: AttemptRow, result: Completed, now: datetime) -> RungRow:
    at_last = attempt.outcome == "completed"
    return RungRow(
        sweep_id=attempt.sweep_id,
        trial=attempt.trial,
        step=result.steps,
        attempt=attempt.number,
        metrics=dict(result.metrics),
        seconds=result.seconds,
        at=now,
        decision="completed" if at_last else "waits",
        decided_at=now if at_last else None,
    )
