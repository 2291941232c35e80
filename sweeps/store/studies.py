"""What the store must know of Optuna's tables, which lie beside ours, without importing Optuna: where a user ends or
deletes a sweep, no driver may be there to see to its rows."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, DateTime, Enum, column, delete, inspect, select, table, update
from sqlalchemy.orm import Session

from sweeps.store.models import SweepRow
from sweeps.store.records import SweepRecord

_STATE = Enum("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING", name="trialstate")
_STUDIES = table("studies", column("study_id"), column("study_name"))
_TRIALS = table(
    "trials", column("trial_id"), column("study_id"), column("state", _STATE), column("datetime_complete", DateTime())
)
_ATTRIBUTES = table("trial_system_attributes", column("trial_id"), column("key"))
_OF_TRIALS = (
    "trial_heartbeats",
    "trial_intermediate_values",
    "trial_params",
    "trial_system_attributes",
    "trial_user_attributes",
    "trial_values",
)
_OF_STUDIES = ("trials", "study_directions", "study_system_attributes", "study_user_attributes", "studies")
_ARTIFACT = "artifacts:"
"""Beginning of an attribute's key; the rest names a file."""


def study_name(sweep: SweepRecord | SweepRow) -> str:
    """Name of the sweep's study in Optuna's tables."""
    return f"{sweep.name}-{sweep.id}"


def study_names(connection: Connection) -> dict[int, str]:
    """Id of each study in Optuna's tables, and its name."""
    return {row.study_id: row.study_name for row in connection.execute(select(_STUDIES))}


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


def delete_study(session: Session, sweep: SweepRow) -> list[str]:
    """Remove the sweep's study and all rows that belong to it. Returns the names of its artifacts' files."""
    if not inspect(session.connection()).has_table(_STUDIES.name):
        return []
    study = session.scalar(select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == study_name(sweep)))
    if study is None:
        return []
    trials = select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study)
    files = select(_ATTRIBUTES.c.key).where(_ATTRIBUTES.c.trial_id.in_(trials), _ATTRIBUTES.c.key.startswith(_ARTIFACT))
    artifacts = [key.removeprefix(_ARTIFACT) for key in session.scalars(files)]
    for name in _OF_TRIALS:
        session.execute(delete(part := table(name, column("trial_id"))).where(part.c.trial_id.in_(trials)))
    for name in _OF_STUDIES:
        session.execute(delete(part := table(name, column("study_id"))).where(part.c.study_id == study))
    return artifacts
