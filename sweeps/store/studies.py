"""What the store must know of Optuna's tables, which lie beside ours, without importing Optuna: where a user ends a
sweep, no driver may be there to end its rows."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Enum, column, inspect, select, table, update
from sqlalchemy.orm import Session

from sweeps.store.models import SweepRow
from sweeps.store.records import SweepRecord

_STATE = Enum("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING", name="trialstate")
_STUDIES = table("studies", column("study_id"), column("study_name"))
_TRIALS = table("trials", column("study_id"), column("state", _STATE), column("datetime_complete", DateTime()))


def study_name(sweep: SweepRecord | SweepRow) -> str:
    """Name of the sweep's study in Optuna's tables."""
    return f"{sweep.name}-{sweep.id}"


def fail_open_rows(session: Session, sweep: SweepRow, now: datetime) -> None:
    """End the rows of a sweep's study that are still open: nothing of it runs any more. A trial that is tried again
    later gets a row of its own."""
    if not inspect(session.connection()).has_table(_TRIALS.name):
        return
    study = select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == study_name(sweep)).scalar_subquery()
    session.execute(
        update(_TRIALS)
        .where(_TRIALS.c.study_id == study, _TRIALS.c.state == "RUNNING")
        .values(state="FAIL", datetime_complete=now.astimezone(UTC).replace(tzinfo=None))  # as Optuna keeps it
    )
