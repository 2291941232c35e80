"""Optuna's study and our tables: asked, told, and brought in step after any crash. No Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._note import get_note_from_system_attrs

from sweeps.errors import StoreUnavailable
from sweeps.search.history import Goal, TrialHistory, recall
from sweeps.search.sampler import choose_sampler
from sweeps.search.study import NUMBER, Study, open_storage
from sweeps.search.study_rows import enter_row
from sweeps.settings import Settings
from sweeps.spec.sweep import Plan, SweepSpec, check_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.patience import Patience
from sweeps.store.processes import this_process
from sweeps.store.records import Completed, Failed, SweepRecord, TrialRecord
from sweeps.store.repository import Repository
from sweeps.store.studies import study_name

MakeSpec = Callable[..., SweepSpec]


@dataclass
class House:
    """A sweep under a lease with its study."""

    settings: Settings
    repository: Repository
    sweep: SweepRecord
    plan: Plan
    held: DrivenSweep
    study: Study

    def again(self) -> Study:
        """The study as a restarted driver opens it."""
        self.study = Study(open_storage(self.settings.store_url), self.sweep, self.plan, self.settings.artifacts_dir)
        folder = self.settings.sweep_dir(self.sweep.id)
        changed = self.study.reconcile(self.held.trials(), self.held.rungs(), folder)
        for number, row in changed.items():
            self.held.set_optuna_trial(number, row)
        return self.study

    def history(self) -> list[TrialHistory]:
        return [recall(trial, self.held.rungs(trial.number)) for trial in self.held.trials()]

    def propose(self) -> TrialRecord:
        """What the conductor does before a launch."""
        number, sampler = len(self.held.trials()), self.plan.spec.search.sampler
        if sampler == "auto":
            sampler, _ = choose_sampler(Goal.of(self.plan))
        if self.plan.ablation is not None:
            row, sampled = self.study.put(number, self.plan.ablation.arm(number).values)
        else:
            row, sampled = self.study.ask(number, sampler, self.history())
        configuration = self.plan.configuration(sampled, number)
        return self.held.add_trial(
            number, parameters=sampled, configuration=configuration, optuna_trial=row, total_steps=10
        )

    def end(self, number: int, end: Completed | Failed, *, tell: bool = True) -> TrialRecord:
        """What worker and searcher do at a trial's end."""
        token = self.held.start_attempt(number).token
        AttemptStore(self.repository.database).finish(token, end)
        if tell:
            self.study.tell(self.held.trial(number), self.held.rungs(number), self.settings.sweep_dir(self.sweep.id))
        return self.held.trial(number)

    def rows(self) -> list[Any]:
        """The study's rows, as anybody reads them."""
        storage = open_storage(self.settings.store_url)
        return optuna.load_study(study_name=study_name(self.sweep), storage=storage).trials


def good(psnr: float = 20.0, gain: float = 0.5) -> Completed:
    return Completed({"psnr": psnr, "feature_gain": gain}, "numba", "cpu", 1, 10, 1.0)


@pytest.fixture
def make_house(settings: Settings, repository: Repository, spec_of: MakeSpec) -> Callable[..., House]:
    def make(**parts: Any) -> House:
        spec = spec_of(**parts)
        plan = check_spec(spec)
        sweep, _ = repository.create_sweep(plan.spec)
        held = DrivenSweep.acquire(repository.database, sweep.id, this_process(), lease_seconds=60, max_attempts=3)
        study = Study(open_storage(settings.store_url), sweep, plan, settings.artifacts_dir)
        return House(settings, repository, sweep, plan, held, study)

    return make


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


def test_a_completed_trial_is_told_once(house: House) -> None:
    house.propose()
    trial = house.end(0, good())
    house.study.tell(trial, [], house.settings.sweep_dir(house.sweep.id))
    house.again()
    (row,) = house.rows()
    assert (row.state, row.values, row.user_attrs[NUMBER]) == (TrialState.COMPLETE, [20.0, 0.5], 0)
    assert row.user_attrs["seed"] == trial.seed
    assert row.params == trial.parameters


def test_an_end_has_all_its_attributes(house: House) -> None:
    house.propose()
    trial = house.end(0, good(), tell=False)
    trial = dataclasses.replace(trial, metrics={name: np.float32(value) for name, value in trial.metrics.items()})
    note = [dataclasses.replace(rung, reason="é" * 5000) for rung in house.held.rungs(0) * 2]
    house.study.tell(trial, note, house.settings.sweep_dir(house.sweep.id))
    (row,) = house.rows()
    assert row.values == [20.0, 0.5]
    assert row.constraints == {"out_of_memory": -1.0}
    assert row.datetime_start <= row.datetime_complete <= datetime.now()
    shown = {"psnr": 20.0, "feature_gain": 0.5, "psnr@10": 20.0, "backend": "numba", "threads": 1, "attempts": 1}
    assert shown.items() <= row.user_attrs.items()
    attributes = house.study.storage.get_study_system_attrs(house.study.study._study_id)
    body = get_note_from_system_attrs(attributes, row._trial_id)["body"]  # as the dashboard reads it, part by part
    assert body.startswith("## Trial 0: completed")
    assert body.count("é") == 10_000


def test_a_plot_is_replaced_as_a_whole(house: House) -> None:
    class Figure:
        def __init__(self, text: str) -> None:
            self.to_json = lambda: text

    house.study.save_plot(Figure("x" * 5000), "front")
    house.study.save_plot(Figure("another"), "front_2")
    house.study.save_plot(Figure("y" * 3000), "front")
    attributes = house.study.storage.get_study_system_attrs(house.study.study._study_id)
    assert get_plotly_graph_objects(attributes) == {"front": "y" * 3000, "front_2": "another"}


def test_sweeps_of_one_name_have_studies_of_their_own(make_house: Callable[..., House]) -> None:
    first, second = make_house(name="same"), make_house(name="same")
    first.propose()
    assert (len(first.rows()), len(second.rows())) == (1, 0)


def test_an_end_that_was_not_told_is_told_at_the_next_start(house: House) -> None:
    house.propose()
    house.end(0, good(), tell=False)
    house.propose()
    house.end(1, Failed("oom", "out of memory"), tell=False)
    house.again()
    assert [row.state for row in house.rows()] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert house.rows()[1].user_attrs["failure_reason"] == "oom"


def test_a_study_that_is_gone_is_made_again_from_our_tables(house: House) -> None:
    house.propose()
    house.end(0, good(21.0))
    house.propose()
    optuna.delete_study(study_name=study_name(house.sweep), storage=open_storage(house.settings.store_url))
    house.again()
    rows = house.rows()
    assert [row.state for row in rows] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert rows[0].values == [21.0, 0.5]
    assert [row.params for row in rows] == [trial.parameters for trial in house.held.trials()]
    house.end(1, good(22.0))
    assert house.rows()[1].values == [22.0, 0.5]


def test_a_proposal_that_was_not_written_is_the_next_one(house: House) -> None:
    house.propose()
    row, sampled = house.study.ask(1, "random", [], attempt=7)  # and the driver dies before it writes trial 1
    house.again()
    trial = house.propose()
    assert (trial.number, trial.optuna_trial, trial.parameters) == (1, row, sampled)
    assert [row.user_attrs[NUMBER] for row in house.rows()] == [0, 1]


def test_a_given_trial_takes_up_its_own_row_alone(house: House) -> None:
    house.study.put(0, {"feat_loss_weight": 0.5})  # and the driver dies, twice
    house.again()
    assert house.study.put(0, {"feat_loss_weight": 0.5}) == (0, {"feat_loss_weight": 0.5})
    house.again()
    assert house.study.put(0, {"feat_loss_weight": 0.25}) == (1, {"feat_loss_weight": 0.25})
    assert [row.state for row in house.rows()] == [TrialState.FAIL, TrialState.RUNNING]


def test_a_proposal_with_its_number_but_no_row_of_ours_is_not_left_running(house: House) -> None:
    house.propose()
    house.study.ask(1, "random", [])  # and the driver dies before it writes trial 1
    house.again()
    house.propose()
    house.end(0, good())
    house.end(1, good())
    assert not [row for row in house.rows() if row.state == TrialState.RUNNING]
    assert sorted(row.user_attrs[NUMBER] for row in house.rows() if row.state == TrialState.COMPLETE) == [0, 1]


def test_strays_are_failed(house: House) -> None:
    house.propose()
    for _ in range(3):
        house.study.study.ask()
    house.again()
    house.propose()
    states = [row.state for row in house.rows()]
    assert states.count(TrialState.RUNNING) == 2
    assert states.count(TrialState.FAIL) == 3


def test_a_trial_that_is_tried_again_gets_a_new_row(house: House) -> None:
    house.propose()
    house.end(0, Failed("crashed", "a bug"))
    house.held.finish("failed", stop_reason="all ended")
    house.repository.request_resume(house.sweep.id)
    database = house.repository.database
    house.held = DrivenSweep.acquire(database, house.sweep.id, this_process(), lease_seconds=60, max_attempts=3)
    house.again()
    house.end(0, good(23.0))
    rows = house.rows()
    assert [row.state for row in rows] == [TrialState.FAIL, TrialState.COMPLETE]
    assert rows[1].values == [23.0, 0.5]
    assert house.held.trial(0).optuna_trial == 1


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random", "qmc"])
def test_proposals_depend_on_what_is_known_and_not_on_restarts(make_house: Callable[..., House], sampler: str) -> None:
    through = make_house(budget={"trials": 12}, search={"sampler": sampler})
    broken = make_house(budget={"trials": 12}, search={"sampler": sampler})
    for number in range(12):
        for house in (through, broken):
            weight = house.propose().parameters["feat_loss_weight"]
            house.end(number, good(20.0 - weight, weight))
        broken.again()
    values = [[trial.parameters for trial in house.held.trials()] for house in (through, broken)]
    assert values[0] == values[1]
    assert len({item["feat_loss_weight"] for item in values[0]}) == 12


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
@pytest.mark.parametrize("reason", ["diverged", "oom", "crashed"])
def test_sampling_goes_on_among_failures(make_house: Callable[..., House], reason: str, sampler: str) -> None:
    house = make_house(budget={"trials": 12}, search={"sampler": sampler})
    for number in range(12):
        house.propose()
        house.end(number, good(20.0 + number, 0.1) if number == 0 else Failed(reason, "no"))
    assert len(house.held.trials()) == 12


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_diverging_region_is_avoided(make_house: Callable[..., House], sampler: str) -> None:
    house = make_house(budget={"trials": 40}, search={"sampler": sampler})
    for number in range(40):
        weight = house.propose().parameters["feat_loss_weight"]
        house.end(number, Failed("diverged", "nan") if weight > 0.1 else good(20.0 - weight, weight))
    above = [trial.parameters["feat_loss_weight"] > 0.1 for trial in house.held.trials()]
    # Half of the logarithmic range diverges: random sampling would go there in half of the trials.
    assert sum(above[20:]) <= 6


def test_conditions_and_lists_reach_optuna(make_house: Callable[..., House]) -> None:
    space = {
        "feat_pe_n_freq": {"type": "int", "low": 2, "high": 8, "when": {"feat_use_pe": True}},
        "feat_use_pe": {"type": "categorical", "choices": [True, False]},
        "num_proposal_samples_per_ray": {"type": "categorical", "choices": [[64, 32], [32, 16]]},
        "lr": {"type": "float", "low": 0.01, "high": 0.05, "step": 0.01},
    }
    house = make_house(space=space, budget={"trials": 16}, search={"seed": 1})
    for number in range(16):
        trial = house.propose()
        assert ("feat_pe_n_freq" in trial.parameters) == trial.parameters["feat_use_pe"]
        assert trial.parameters["num_proposal_samples_per_ray"] in ([64, 32], [32, 16])
        assert round(trial.parameters["lr"] * 100, 6) in (1, 2, 3, 4, 5)
        if not trial.parameters["feat_use_pe"]:
            assert trial.configuration["feat_pe_n_freq"] == 6  # the base's
        house.end(number, good(20.0 + trial.parameters["lr"], 0.5))
    assert {trial.parameters["feat_use_pe"] for trial in house.held.trials()} == {True, False}
    optuna.delete_study(study_name=study_name(house.sweep), storage=open_storage(house.settings.store_url))
    before = [trial.parameters for trial in house.held.trials()]
    house.again()
    assert [row.params["num_proposal_samples_per_ray"] for row in house.rows()] == [
        str(parameters["num_proposal_samples_per_ray"]) for parameters in before
    ]


def test_random_sampling_is_random(make_house: Callable[..., House]) -> None:
    house = make_house(search={"sampler": "random", "seed": 5}, budget={"trials": 6})
    assert len({house.propose().parameters["feat_loss_weight"] for _ in range(6)}) == 6


ARMS = {
    "kind": "ablation",
    "space": {},
    "budget": {},
    "fidelity": {},
    "parameters": {"max_num_iterations": 10},
    "arms": {"heavy": {"feat_loss_weight": 1.0}, "long": {"num_proposal_samples_per_ray": [64, 32], "lr": 0.02}},
    "seeds": 2,
}


def test_the_rows_of_an_ablation_show_its_arms(make_house: Callable[..., House]) -> None:
    house = make_house(**ARMS)
    trials = [house.propose() for _ in range(6)]
    arms = [{}, {"feat_loss_weight": 1.0}, {"num_proposal_samples_per_ray": [64, 32], "lr": 0.02}]
    assert [trial.parameters for trial in trials] == arms * 2
    assert [trial.seed for trial in trials[:3]] == [trials[0].seed] * 3
    assert [trial.seed for trial in trials[3:]] == [trials[3].seed] * 3 != [trials[0].seed] * 3
    rows = house.rows()
    assert [row.params for row in rows[:2]] == [{}, {"feat_loss_weight": 1.0}]
    assert rows[2].params == {"num_proposal_samples_per_ray": "[64, 32]", "lr": 0.02}
    assert [row.user_attrs[NUMBER] for row in rows] == list(range(6))


def test_an_ablation_goes_on_after_a_crash_with_the_same_rows(make_house: Callable[..., House]) -> None:
    house = make_house(**ARMS)
    house.propose()
    house.end(0, good())
    house.study.put(1, {"feat_loss_weight": 1.0})  # the driver dies before it writes its own row
    house.again()
    house.propose()
    optuna.delete_study(study_name=study_name(house.sweep), storage=open_storage(house.settings.store_url))
    house.again()
    house.study.study.ask()  # a row without a number, from a crash within Optuna
    house.again()
    house.propose()
    house.end(1, good())
    house.end(2, good())
    assert {row.state for row in house.rows()} == {TrialState.COMPLETE, TrialState.FAIL}
    rows = [row for row in house.rows() if row.state == TrialState.COMPLETE]
    assert [row.params for row in rows] == [
        {},
        {"feat_loss_weight": 1.0},
        {"num_proposal_samples_per_ray": "[64, 32]", "lr": 0.02},
    ]
    assert [row.user_attrs[NUMBER] for row in rows] == list(range(3))


@pytest.mark.parametrize("failures", [2, 10**6])
def test_a_storage_that_is_away_is_asked_again(house: House, monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    study = Study(
        open_storage(house.settings.store_url),
        house.sweep,
        house.plan,
        house.settings.artifacts_dir,
        patience=Patience(0.05),
    )
    left = [failures]

    def enter(*args: Any) -> tuple[int, int]:
        left[0] -= 1
        if left[0] >= 0:
            raise optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
        return enter_row(*args)

    monkeypatch.setattr("sweeps.search.study.enter_row", enter)
    if failures == 2:
        row, sampled = study.ask(0, "random", [])
        assert [(one.number, one.params) for one in house.rows()] == [(row, sampled)]
    else:
        with pytest.raises(StoreUnavailable, match="Optuna's tables"):
            study.ask(0, "random", [])
        assert house.rows() == []
