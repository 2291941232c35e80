"""The synthetic problems against values of BoTorch 0.18.1, their maxima against a search, and their costs by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.search.problems import PROBLEMS, Outcome, Synthetic, branin_currin, cost_of, park
from benchmarks.search.simulate import play
from sweeps.analysis.pareto import hypervolume
from sweeps.search.history import Resume, Start, TrialHistory


@pytest.mark.parametrize(
    ("function", "at", "values"),
    [
        (branin_currin, (0.3, 0.7, 1.0), (-0.4958959249117918, 0.042477019835510416)),
        (branin_currin, (0.3, 0.7, 0.0), (-0.493601267210271, 0.0860881476491618)),
        (branin_currin, (0.9, 0.1, 0.5), (0.7497183436563268, 0.24782158657091907)),
        (park, (0.3, 0.7, 0.2, 0.9, 1.0), (0.14354926929164824, -0.22948729786027788)),
        (park, (0.3, 0.7, 0.2, 0.9, 0.0), (0.04513775168011047, -0.26889308919395744)),
        (park, (0.6, 0.5, 0.5, 0.8, 0.5), (0.32118005642114267, -0.25786887852291174)),
    ],
)
def test_values_are_botorchs(
    function: Callable[..., tuple[float, float]], at: tuple[float, ...], values: tuple[float, float]
) -> None:
    assert function(*at) == pytest.approx(values, abs=1e-12)


def test_a_half_fidelity_costs_a_tenth_and_resuming_pays_the_difference() -> None:
    problem = PROBLEMS["park"]()
    costs = [problem.cost({}, step) for step in problem.rungs]
    assert costs == pytest.approx([math.exp(-4.8), math.exp(-2.4), 1.0])
    assert cost_of(1.0) == 1.0


class Scripted:
    """Starts one trial, resumes it twice, starts another."""

    def __init__(self) -> None:
        self.steps = iter(["start", 0, 0, "start"])
        self.seen: list[tuple[str, ...]] = []

    def next(self, history: list[TrialHistory]) -> Start | Resume | None:
        self.seen.append(tuple(trial.state for trial in history))
        choice = next(self.steps, None)
        if choice == "start":
            return Start({"x1": 0.5, "x2": 0.5}, "")
        return None if choice is None else Resume(int(choice), "")


def test_a_trial_that_goes_rung_by_rung_costs_one_full_evaluation() -> None:
    problem, strategy = PROBLEMS["branin-currin"](), Scripted()
    played = play(problem, strategy, problem.rungs, workers=1, budget=10)
    assert [cost for cost, _ in played.curve] == pytest.approx([1.0])
    first, second = branin_currin(0.5, 0.5, 1.0)
    assert played.curve[0][1] == pytest.approx(max(first, 0) * max(second, 0) / problem.best)
    assert strategy.seen == [(), ("paused",), ("paused",), ("completed",), ("completed", "paused")]


class FailsAtTheSecondRung(Synthetic):
    def evaluate(self, parameters: dict[str, float], step: int) -> Outcome:
        return Outcome({}, "diverged") if step >= self.rungs[1] else super().evaluate(parameters, step)


class Stubborn:
    def next(self, history: list[TrialHistory]) -> Start | None:
        return Start({"x1": 0.5, "x2": 0.5}, "") if len(history) < 3 else None


def test_a_failing_trial_costs_what_it_ran_also_at_full_fidelity() -> None:
    problem = FailsAtTheSecondRung(2, branin_currin, 0.5)
    played = play(problem, Stubborn(), problem.rungs[-1:], workers=1, budget=10)
    assert played.failed == [True] * 3
    assert played.curve == []
    # Three times exp(-2.4) = 0.27: a budget of 0.2 is spent in the third.
    assert len(play(problem, Stubborn(), problem.rungs[-1:], workers=1, budget=0.15).failed) == 2


def test_idle_workers_are_paid_for() -> None:
    problem = PROBLEMS["branin-currin"]()
    one, two = (play(problem, Stubborn(), problem.rungs[-1:], workers=workers, budget=10) for workers in (1, 2))
    assert one.curve[0][0] == pytest.approx(1.0)
    assert two.curve[0][0] == pytest.approx(2.0)


def test_only_a_paused_trial_is_resumed() -> None:
    problem, strategy = PROBLEMS["branin-currin"](), Scripted()
    strategy.steps = iter(["start", 0, 0, 0])
    with pytest.raises(ValueError, match="trial 0 is completed"):
        play(problem, strategy, problem.rungs, workers=1, budget=10)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "function", "dimensions"), [("branin-currin", branin_currin, 2), ("park", park, 4)])
def test_no_front_found_by_search_covers_more_than_the_best(
    name: str, function: Callable[..., tuple[float, float]], dimensions: int
) -> None:
    random, front = np.random.default_rng(0), np.zeros((0, dimensions))
    points = random.random((4000, dimensions))
    for scale in (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001):
        values = np.array([function(*point, 1.0) for point in points])
        order = np.argsort(-values[:, 0])
        best = np.maximum.accumulate(np.append(-np.inf, values[order, 1]))[:-1]
        keep = order[values[order, 1] > best]
        front, reached = points[keep], hypervolume(values, ["maximize"] * 2, [0.0, 0.0])
        near = np.repeat(front, 1 + 4000 // len(front), axis=0)
        points = np.vstack([front, np.clip(near + random.normal(scale=scale, size=near.shape), 0, 1)])
    assert 0.995 < reached / PROBLEMS[name]().best < 1.001
