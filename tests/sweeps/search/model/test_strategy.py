"""What the search chooses: on toy problems, and where there is little to choose from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from f3rm_core import METRICS, Metric
from sweeps.analysis.pareto import hypervolume
from sweeps.search.history import Goal, Resume, RungResult, Start, TrialHistory
from sweeps.search.model.encoding import Encoding
from sweeps.search.model.feasibility import Survival
from sweeps.search.model.observations import Table, bounded, metrics_of, softened
from sweeps.search.model.strategy import ModelStrategy
from sweeps.spec.space import CategoricalDimension, FloatDimension

RUNGS = (10, 30, 90)
GOAL = Goal(
    objectives=(Metric("left", "maximize", "1", ""), Metric("right", "minimize", "1", "", reference=1.0, ideal=0.0)),
    space={
        "x": FloatDimension(type="float", low=0.0, high=1.0),
        "y": FloatDimension(type="float", low=0.0, high=1.0),
        "kind": CategoricalDimension(type="categorical", choices=["good", "bad"]),
    },
    fixed={},
    rungs=RUNGS,
    trials=1000,
)


def measured(parameters: Mapping[str, Any], step: int) -> dict[str, float]:
    """A front along x at y = 0.3; lower rungs see it dimly."""
    share = math.log(step) / math.log(RUNGS[-1])
    off = 3 * (parameters["y"] - 0.3) ** 2 + (0.3 if parameters["kind"] == "bad" else 0.0)
    return {"left": share * (parameters["x"] - off), "right": 1 - share * (1 - parameters["x"] ** 2 - off)}


def fails(parameters: Mapping[str, Any]) -> bool:
    return bool(parameters["y"] > 0.6)


def play(strategy: ModelStrategy, budget: float, *, failing: bool = False) -> list[TrialHistory]:
    """One worker, one trial at a time, until so many steps are spent, in full trainings."""
    history: list[TrialHistory] = []
    spent = 0.0
    while spent < budget * RUNGS[-1]:
        choice = strategy.next(history)
        assert choice is not None
        if isinstance(choice, Start):
            assert choice.parameters is not None
            history.append(TrialHistory(len(history), dict(choice.parameters), "paused"))
        number = choice.number if isinstance(choice, Resume) else len(history) - 1
        trial = history[number]
        assert trial.state == "paused"
        step = next(rung for rung in RUNGS if rung > trial.step)
        spent += step - trial.step
        if failing and fails(trial.parameters):
            history[number] = replace(trial, state="failed", failure_reason="diverged")
            continue
        rungs = (*trial.rungs, RungResult(step, measured(trial.parameters, step), float(step)))
        history[number] = replace(trial, rungs=rungs, state="completed" if step == RUNGS[-1] else "paused")
    return history


def covered(history: list[TrialHistory]) -> float:
    done = [trial.rungs[-1].metrics for trial in history if trial.state == "completed"]
    return hypervolume(np.array([[one["left"], one["right"]] for one in done]), ["maximize", "minimize"], [0.0, 1.0])


def test_it_covers_more_than_random_trainings_of_the_same_cost() -> None:
    random = np.random.default_rng(0)
    by_chance = []
    for _ in range(50):
        drawn = [dict(zip("xy", random.random(2), strict=True), kind=random.choice(["good", "bad"])) for _ in range(8)]
        values = np.array([list(measured(parameters, RUNGS[-1]).values()) for parameters in drawn])
        by_chance.append(hypervolume(values, ["maximize", "minimize"], [0.0, 1.0]))
    assert covered(play(ModelStrategy(GOAL), 8)) > np.quantile(by_chance, 0.95)


def test_the_same_seed_and_history_give_the_same_choices() -> None:
    first, second = (play(ModelStrategy(GOAL), 3) for _ in range(2))
    assert first == second
    assert ModelStrategy(GOAL).next(first) == ModelStrategy(GOAL).next(first)
    other = play(ModelStrategy(replace(GOAL, seed=1)), 1)
    assert other[0].parameters != first[0].parameters


def test_where_trainings_diverge_is_hardly_proposed_after_twenty_trials() -> None:
    history = play(ModelStrategy(GOAL, first=20), 20, failing=True)
    later = history[20:]
    assert len(later) >= 8
    # Random sampling proposes it in 4 of 10 trials.
    assert sum(fails(trial.parameters) for trial in later) <= 0.2 * len(later)


def test_trials_that_run_are_not_started_again() -> None:
    history = play(ModelStrategy(GOAL), 3)
    strategy, encoding = ModelStrategy(GOAL), Encoding(GOAL.space, {})
    for _ in range(6):
        choice = strategy.next(history)
        if isinstance(choice, Start):
            point = encoding.encode(choice.parameters or {})
            others = [encoding.encode(trial.parameters) for trial in history if trial.state == "running"]
            assert all(np.abs(point - other).max() >= 0.01 for other in others)
            history = [*history, TrialHistory(len(history), choice.parameters or {}, "running", running_to=10)]
        else:
            assert isinstance(choice, Resume)
            trial = history[choice.number]
            assert trial.state == "paused"
            step = next(rung for rung in RUNGS if rung > trial.step)
            history = [*history]
            history[choice.number] = replace(trial, state="running", running_to=step)


def test_no_more_trials_are_started_than_the_goal_allows() -> None:
    strategy = ModelStrategy(replace(GOAL, trials=6))
    history: list[TrialHistory] = []
    for _ in range(60):
        choice = strategy.next(history)
        if choice is None:
            break
        if isinstance(choice, Start):
            history.append(TrialHistory(len(history), dict(choice.parameters or {}), "paused"))
        number = choice.number if isinstance(choice, Resume) else len(history) - 1
        trial = history[number]
        step = next(rung for rung in RUNGS if rung > trial.step)
        rungs = (*trial.rungs, RungResult(step, measured(trial.parameters, step), float(step)))
        history[number] = replace(trial, rungs=rungs, state="completed" if step == RUNGS[-1] else "paused")
    assert choice is None
    assert len(history) == 6
    assert any(trial.state == "completed" for trial in history)


def test_it_waits_while_nothing_is_known() -> None:
    running = TrialHistory(0, {"x": 0.5, "y": 0.5, "kind": "good"}, "running", running_to=10)
    assert ModelStrategy(GOAL, first=1).next([running]) is None


def test_it_goes_on_when_all_have_failed() -> None:
    failed = TrialHistory(0, {"x": 0.5, "y": 0.5, "kind": "good"}, "failed", failure_reason="diverged")
    assert isinstance(ModelStrategy(GOAL, first=1).next([failed]), Start)


def test_results_that_break_a_constraint_are_no_front() -> None:
    goal = replace(GOAL, objectives=(METRICS["psnr"],), constraints={"peak_memory_gb": 4.0})
    history = [
        TrialHistory(
            number,
            {"x": number / 10, "y": 0.5, "kind": "good"},
            "completed",
            tuple(
                RungResult(step, {"psnr": 20.0 + number, "peak_memory_gb": 1.0 + number}, float(step)) for step in RUNGS
            ),
        )
        for number in range(8)
    ]
    strategy = ModelStrategy(goal, first=1)
    strategy.next(history)
    assert strategy._model is not None
    # psnr 23 needs 4 GB and is the best that is allowed: (23 - 10) / (40 - 10).
    assert strategy._model.covered == pytest.approx(13 / 30)
    points = np.array([[0.1, 0.5, 0.25], [0.7, 0.5, 0.25]])
    features = strategy._encoding.features(points)
    chance = strategy._model._chance(features, strategy._model._outlooks(features, -1))
    assert chance[0] > 0.8
    assert chance[1] < 0.2


def test_survival_is_certain_until_something_fails_and_then_learned() -> None:
    encoding = Encoding(GOAL.space, {})
    trials = [
        TrialHistory(
            number,
            {"x": 0.5, "y": number / 20, "kind": "good"},
            "failed" if number > 12 else "paused",
            () if number > 12 else (RungResult(10, {"left": 0.1, "right": 0.5}, 10.0),),
            failure_reason="oom" if number > 12 else None,
        )
        for number in range(21)
    ]
    table = Table(GOAL, encoding, metrics_of(GOAL))
    at = encoding.features(np.array([[0.5, 0.2, 0.25], [0.5, 0.95, 0.25]]))
    assert Survival(table.read(trials[:10]), 100).probability(at).tolist() == [1.0, 1.0]
    safe, doomed = Survival(table.read(trials), 100).probability(at)
    assert safe > 0.9
    assert doomed < 0.1


def test_a_lost_worker_is_not_held_against_a_configuration() -> None:
    lost = TrialHistory(0, {"x": 0.5, "y": 0.5, "kind": "good"}, "failed", failure_reason="lost")
    assert not Table(GOAL, Encoding(GOAL.space, {}), metrics_of(GOAL)).read([lost]).trials


def test_a_model_is_given_a_bounded_number_of_measurements_the_best_among_them() -> None:
    scores = np.full((1000, 2, 2), np.nan)
    scores[:, 0] = np.arange(1000)[:, None]
    scores[:50, 1] = 1.0
    used = bounded(scores, limit=40)
    assert used.sum(axis=0).tolist() == [40, 40]
    assert used[980:, 0].all()  # the better half
    assert np.diff(np.flatnonzero(used[:980, 0])).max() < 60  # the others evenly over time


def test_softening_leaves_alone_what_counts_and_pulls_up_what_is_hopeless() -> None:
    scores = np.array([-50.0, -1.0, 0.2, 0.4, 0.8, 1.0]).reshape(-1, 1, 1)
    soft = softened(scores)[:, 0, 0]
    assert soft[2:].tolist() == [0.2, 0.4, 0.8, 1.0]
    assert -3 < soft[0] < soft[1] < 0


def test_what_may_not_start_is_not_proposed() -> None:
    strategy = ModelStrategy(replace(GOAL, trials=30), allowed=lambda parameters: parameters["kind"] == "good")
    history: list[TrialHistory] = []
    for _ in range(25):
        decision = strategy.next(history)
        assert decision is not None
        number = decision.number if isinstance(decision, Resume) else len(history)
        parameters = history[number].parameters if isinstance(decision, Resume) else decision.parameters
        assert parameters is not None
        assert parameters["kind"] == "good"
        before = history[number].rungs if isinstance(decision, Resume) else ()
        step = RUNGS[len(before)]
        rungs = (*before, RungResult(step, measured(parameters, step), float(step)))
        state = "completed" if step == RUNGS[-1] else "paused"
        history[number:] = [TrialHistory(number, parameters, state, rungs), *history[number + 1 :]]


def play_allowed(allowed: Callable[[Mapping[str, Any]], bool], trials: int) -> list[TrialHistory]:
    """Until the search is over: the larger x and y the better, and what is best may not start."""
    goal = replace(GOAL, trials=trials, objectives=GOAL.objectives[:1], rungs=(10, 90))
    strategy = ModelStrategy(goal, allowed=allowed)
    history: list[TrialHistory] = []
    while (decision := strategy.next(history)) is not None:
        if isinstance(decision, Start):
            history.append(TrialHistory(len(history), dict(decision.parameters or {}), "paused"))
        number = decision.number if isinstance(decision, Resume) else len(history) - 1
        trial = history[number]
        step = 90 if trial.rungs else 10
        value = step / 90 * (trial.parameters["x"] + trial.parameters["y"])
        rungs = (*trial.rungs, RungResult(step, {"left": value}, float(step)))
        history[number] = replace(trial, rungs=rungs, state="completed" if step == 90 else "paused")
    return history


def test_all_trials_are_used_where_all_that_looks_best_may_not_start() -> None:
    history = play_allowed(lambda parameters: max(parameters["x"], parameters["y"]) < 0.15, 12)
    assert len(history) == 12
    assert all(max(trial.parameters["x"], trial.parameters["y"]) < 0.15 for trial in history)


def test_the_search_is_over_once_every_configuration_was_tried() -> None:
    goal = replace(GOAL, trials=9, space=dict.fromkeys(("kind", "other"), GOAL.space["kind"]))
    strategy = ModelStrategy(goal)
    history: list[TrialHistory] = []
    while isinstance(decision := strategy.next(history), Start):
        parameters = dict(decision.parameters or {})
        value = {"left": 0.5 if parameters["kind"] == "good" else 0.1, "right": 0.5}
        rungs = tuple(RungResult(step, value, float(step)) for step in RUNGS)
        history.append(TrialHistory(len(history), parameters, "completed", rungs))
    assert decision is None
    assert len(history) <= 5  # the even spread may repeat one
    assert len({tuple(trial.parameters.values()) for trial in history}) == 4


class TestEarlierSweeps:
    """A model that is told of the trials of another sweep."""

    @pytest.fixture
    def earlier(self) -> list[TrialHistory]:
        return [replace(trial, number=-1) for trial in play(ModelStrategy(GOAL), 6.0) if trial.state != "paused"]

    def test_its_first_proposals_use_what_they_measured(self, earlier: list[TrialHistory]) -> None:
        told, untold = ModelStrategy(GOAL, earlier=earlier), ModelStrategy(GOAL)
        assert covered(play(told, 3.0)) > covered(play(untold, 3.0))

    def test_they_are_neither_options_nor_results(self, earlier: list[TrialHistory]) -> None:
        goal = replace(GOAL, trials=1)
        strategy = ModelStrategy(goal, earlier=[replace(trial, state="paused") for trial in earlier])
        choice = strategy.next([])
        assert isinstance(choice, Start)
        assert choice.parameters is not None
        assert choice.reason == "no result yet"  # theirs cover nothing
        parameters = dict(choice.parameters)
        rungs = tuple(RungResult(step, measured(parameters, step), float(step)) for step in RUNGS)
        assert strategy.next([TrialHistory(0, parameters, "completed", rungs)]) is None

    def test_however_many_there_are_own_trials_have_room(self, earlier: list[TrialHistory]) -> None:
        random = np.random.default_rng(0)
        many = []
        for _ in range(400):
            parameters = {**dict(zip("xy", random.random(2), strict=True)), "kind": "good"}
            many.append(TrialHistory(-1, parameters, "pruned", (RungResult(10, measured(parameters, 10), 10.0),)))
        strategy = ModelStrategy(GOAL, earlier=[*many, *earlier])
        assert len(strategy._earlier) <= 3 * 80
        assert isinstance(strategy.next([]), Start)
