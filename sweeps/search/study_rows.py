"""Rows of Optuna's study, each written in one transaction.

Optuna's public calls write one attribute a transaction, read the trial back before each of them, and read the notes of
all trials to write one: some thirty transactions a trial, and more work with every trial. Here a proposal is one
transaction, and so is an end. The tables are Optuna 5.0's own; the tests compare with rows that its public calls wrote
(docs/adr/0012-optunas-rows-in-one-transaction.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import delete, insert

_TEXT_LIMIT = 2045
"""Characters in a part of a note or plot; the dashboard puts the parts together."""


@dataclass(frozen=True)
class End:
    """How a row ends.

    Args:
        state: finished.
        values: one for each objective, where it completed.
        user_attrs: what the dashboard shows beside it.
        system_attrs: Optuna's own, such as constraints.
        note: Markdown for the dashboard.
    """

    state: TrialState
    values: Sequence[float] | None = None
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    system_attrs: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def enter_row(storage: RDBStorage, study_id: int, row: FrozenTrial) -> tuple[int, int]:
    """Add an open row with its parameters and attributes. Returns its number in the study and its id."""
    with _create_scoped_session(storage.scoped_session) as session:
        models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)  # rows are numbered one by one
        trial = models.TrialModel(study_id=study_id, state=TrialState.RUNNING, datetime_start=datetime.now())
        session.add(trial)
        session.flush()
        trial_id, number = cast(int, trial.trial_id), trial.count_past_trials(session)
        trial.number = number
        if row.params:
            session.execute(insert(models.TrialParamModel), _parameters(trial_id, row))
        if row.user_attrs:
            session.execute(insert(models.TrialUserAttributeModel), _rows("trial_id", trial_id, row.user_attrs))
    return number, trial_id


def end_row(storage: RDBStorage, study_id: int, trial_id: int, end: End) -> None:
    """End an open row, with all that is known of it; one that has ended stays as it is."""
    with _create_scoped_session(storage.scoped_session) as session:
        row = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
        if row.state.is_finished():
            return
        for model, column, owner, attributes in (
            (models.TrialUserAttributeModel, "trial_id", trial_id, end.user_attrs),
            (models.TrialSystemAttributeModel, "trial_id", trial_id, end.system_attrs),
            (models.StudySystemAttributeModel, "study_id", study_id, _note(trial_id, end.note)),
        ):
            if attributes:
                session.execute(delete(model).where(getattr(model, column) == owner, model.key.in_(attributes)))
                session.execute(insert(model), _rows(column, owner, attributes))
        for objective, number in enumerate(end.values or ()):
            storage._set_trial_value_without_commit(session, row, objective, number)
        row.state, row.datetime_complete = end.state, datetime.now()


def put_plot(storage: RDBStorage, study_id: int, name: str, plot: str) -> None:
    """Show a plot in the dashboard, replacing the one of this name. The dashboard's own function for it costs an import
    of torch.

    Args:
        name: a valid HTML id.
        plot: plotly's JSON.
    """
    model, prefix = models.StudySystemAttributeModel, f"dashboard:plot_data:{name}:"
    with _create_scoped_session(storage.scoped_session) as session:
        session.execute(delete(model).where(model.study_id == study_id, model.key.startswith(prefix, autoescape=True)))
        session.execute(insert(model), _rows("study_id", study_id, _parts(prefix, plot)))


def _parameters(trial_id: int, row: FrozenTrial) -> list[dict[str, Any]]:
    return [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": row.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(row.distributions[name]),
        }
        for name, value in row.params.items()
    ]


def _note(trial_id: int, text: str) -> dict[str, Any]:
    """A note as the dashboard keeps it, among the study's attributes: a version, and parts of the text."""
    parts = _parts(f"dashboard:{trial_id}:note_str:", text)
    return {f"dashboard:{trial_id}:note_ver": 1, **parts} if parts else {}


def _parts(prefix: str, text: str) -> dict[str, str]:
    starts = range(0, len(text), _TEXT_LIMIT)
    return {f"{prefix}{index}": text[start : start + _TEXT_LIMIT] for index, start in enumerate(starts)}


def _rows(column: str, owner: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{column: owner, "key": key, "value_json": json.dumps(item)} for key, item in attributes.items()]
