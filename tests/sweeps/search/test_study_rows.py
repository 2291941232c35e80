"""Rows that we write into Optuna's tables, against rows that Optuna's and the dashboard's public calls write."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from optuna_dashboard._note import get_note_from_system_attrs, save_note

from sweeps.search.study import open_storage
from sweeps.search.study_rows import End, end_row, enter_row

PARAMETERS: dict[str, Any] = {"lr": 0.03, "levels": 4, "poses": True, "counts": "[64, 32]", "weight": 1e-4}
DISTRIBUTIONS = {
    "lr": FloatDistribution(0.01, 0.05, step=0.01),
    "levels": IntDistribution(2, 16, log=True),
    "poses": CategoricalDistribution([True, False]),
    "counts": CategoricalDistribution(["[64, 32]", "[32, 16]"]),
    "weight": FloatDistribution(1e-5, 10.0, log=True),
}
SHOWN = {"number": 0, "psnr": 20.5, "backend": "numba", "failure_message": "π is not 3"}
CONSTRAINTS = {"peak_memory_gb": 0.25, "out_of_memory": -1.0}
NOTE = "## Trial 0\n" + "é" * 3000
ENDS = [(TrialState.COMPLETE, [20.5, 0.4]), (TrialState.PRUNED, None), (TrialState.FAIL, None)]


@pytest.fixture
def storage(tmp_path: Path) -> RDBStorage:
    return open_storage(f"sqlite:///{tmp_path / 'x.db'}")


@pytest.fixture
def study(storage: RDBStorage) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(storage=storage, sampler=sampler, directions=["maximize"] * 2)


def by_optuna(study: optuna.Study, state: TrialState, values: list[float] | None) -> None:
    study.enqueue_trial(PARAMETERS)
    trial = study.ask(DISTRIBUTIONS)
    for name, value in SHOWN.items():
        trial.set_user_attr(name, value)
    for name, excess in CONSTRAINTS.items():
        trial.set_constraint(name, excess)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is experimental
        save_note(trial, NOTE)
    study.tell(trial, values, state)


def by_us(study: optuna.Study, storage: RDBStorage, state: TrialState, values: list[float] | None) -> None:
    row = create_trial(
        state=TrialState.RUNNING, params=PARAMETERS, distributions=DISTRIBUTIONS, user_attrs={"number": 0}
    )
    _, trial_id = enter_row(storage, study._study_id, row)
    system_attrs = create_trial(state=TrialState.PRUNED, constraints=CONSTRAINTS).system_attrs
    end = End(state, values, {name: value for name, value in SHOWN.items() if name != "number"}, system_attrs, NOTE)
    end_row(storage, study._study_id, trial_id, end)
    end_row(storage, study._study_id, trial_id, End(TrialState.FAIL))  # too late


@pytest.mark.parametrize(("state", "values"), ENDS)
def test_they_are_the_same(
    study: optuna.Study, storage: RDBStorage, state: TrialState, values: list[float] | None
) -> None:
    by_optuna(study, state, values)
    by_us(study, storage, state, values)
    theirs, ours = study.trials
    assert (theirs.number, ours.number) == (0, 1)
    for part in ("state", "params", "distributions", "user_attrs", "constraints", "intermediate_values"):
        assert getattr(ours, part) == getattr(theirs, part), part
    assert ours.state == state
    assert (ours.values, theirs.values) == (values, values)
    asked_for = {"fixed_params": PARAMETERS}  # enqueue_trial notes it
    assert theirs.system_attrs == {**ours.system_attrs, **asked_for}
    assert ours.datetime_start is not None
    assert ours.datetime_complete is not None
    attributes = storage.get_study_system_attrs(study._study_id)
    bodies = [get_note_from_system_attrs(attributes, row._trial_id)["body"] for row in (theirs, ours)]
    assert bodies == [NOTE, NOTE]


def test_an_open_row_is_one_that_was_asked_for(study: optuna.Study, storage: RDBStorage) -> None:
    row = create_trial(state=TrialState.RUNNING, params=PARAMETERS, distributions=DISTRIBUTIONS)
    number, trial_id = enter_row(storage, study._study_id, row)
    asked = study.ask(DISTRIBUTIONS)
    assert (number, asked.number) == (0, 1)
    open_row, _ = study.trials
    assert (open_row.state, open_row._trial_id) == (TrialState.RUNNING, trial_id)
    assert (open_row.params, open_row.datetime_complete) == (PARAMETERS, None)
    study.tell(0, [1.0, 2.0])  # and Optuna ends it as its own
    assert study.trials[0].values == [1.0, 2.0]
