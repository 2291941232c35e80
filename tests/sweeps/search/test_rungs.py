"""Who goes on at a rung, worked out by hand, and against a brute-force order."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from f3rm_core import METRICS
from sweeps.analysis.pareto import order
from sweeps.search.history import Goal, Resume, RungResult, Start, TrialHistory
from sweeps.search.rungs import Halving, hopeless, ranking
from sweeps.search.standings import Standings

PSNR, GAIN = METRICS["psnr"], METRICS["feature_gain"]


def goal(**parts: Any) -> Goal:
    return Goal(**{"objectives": (PSNR,), "space": {}, "fixed": {}, "rungs": (10, 30, 90), "eta": 3, **parts})


def trial(number: int, *psnrs: float, state: str = "paused", **more: Any) -> TrialHistory:
    """A trial that measured these PSNRs at the rungs in turn."""
    steps = (10, 30, 90)
    rungs = tuple(
        RungResult(steps[i], {"psnr": psnr, "feature_gain": 0.5, **more}, 1.0 * steps[i])
        for i, psnr in enumerate(psnrs)
    )
    return TrialHistory(number, {}, state, rungs)


def without_hope(history: list[TrialHistory], goal: Goal) -> dict[int, str]:
    standings = Standings(goal)
    standings.see(history)
    return hopeless(standings, goal)


class TestHalving:
    def test_starts_until_one_in_eta_may_go_on(self) -> None:
        halving = Halving(goal(trials=9))
        assert halving.next([]) == Start(None, "trial 1 of 9")
        two = [trial(0, 20.0), trial(1, 21.0)]
        assert isinstance(halving.next(two), Start)
        three = [*two, trial(2, 19.0)]
        assert halving.next(three) == Resume(1, "rank 1 of 3 at step 10: the best 1 go on")

    def test_the_highest_rung_comes_first(self) -> None:
        history = [trial(0, 20.0, 24.0), trial(1, 21.0, 25.0), trial(2, 19.0, 23.0)]
        history += [trial(n, 10.0 + n) for n in range(3, 12)]
        assert Halving(goal(trials=30)).next(history) == Resume(1, "rank 1 of 3 at step 30: the best 1 go on")

    def test_one_that_waited_goes_on_when_more_have_come(self) -> None:
        history = [trial(0, 20.0), trial(1, 21.0, 22.0, state="running"), trial(2, 19.0)]
        assert isinstance(Halving(goal(trials=9)).next(history), Start)
        history += [trial(3, 18.0), trial(4, 17.0), trial(5, 16.0)]
        assert Halving(goal(trials=9)).next(history) == Resume(0, "rank 2 of 6 at step 10: the best 2 go on")

    def test_at_the_end_of_few_one_goes_on_and_then_nothing(self) -> None:
        halving = Halving(goal(trials=2))
        assert halving.next([trial(0, 20.0), trial(1, 21.0)]) == Resume(1, "rank 1 of 2 at step 10: the best 1 go on")
        history = [trial(0, 20.0), trial(1, 21.0, 22.0)]
        assert halving.next(history) == Resume(1, "rank 1 of 1 at step 30: the best 1 go on")
        assert halving.next([trial(0, 20.0), trial(1, 21.0, 22.0, 23.0, state="completed")]) is None

    def test_a_worker_that_would_idle_takes_the_next_best(self) -> None:
        history = [trial(0, 20.0), trial(1, 21.0, state="running")]
        assert Halving(goal(trials=2)).next(history) == Resume(0, "rank 2 of 2 at step 10: the best 2 go on")

    def test_a_trial_that_failed_beyond_a_rung_gives_its_place_back(self) -> None:
        history = [trial(0, 20.0), trial(1, 21.0, state="failed"), trial(2, 19.0)]
        assert Halving(goal(trials=3)).next(history) == Resume(0, "rank 1 of 2 at step 10: the best 1 go on")

    def test_memory_over_the_limit_never_goes_on_and_other_limits_come_last(self) -> None:
        limits = goal(trials=3, constraints={"peak_memory_gb": 8.0, "feature_gain": 0.4})
        over = trial(0, 30.0, peak_memory_gb=9.0)
        short = trial(1, 25.0, peak_memory_gb=1.0, feature_gain=0.3)
        kept = trial(2, 20.0, peak_memory_gb=1.0)
        assert list(ranking([over, short, kept], 10, limits)) == [2, 0, 1]
        assert Halving(limits).next([over, short, kept]) == Resume(2, "rank 1 of 3 at step 10: the best 1 go on")
        assert Halving(limits).next([over]) == Start(None, "trial 2 of 3")
        assert set(without_hope([over, short, kept], limits)) == {0, 1}

    def test_every_trial_ends_whatever_the_numbers(self) -> None:
        """Played to its end with trial n measuring n: the best trial completes, and nothing is chosen twice."""
        for trials, eta in itertools.product((1, 2, 5, 9, 20), (2, 3, 4)):
            halving = Halving(goal(trials=trials, eta=eta))
            history: list[TrialHistory] = []
            for _ in range(200):
                decision = halving.next(history)
                if decision is None:
                    break
                number = len(history) if isinstance(decision, Start) else decision.number
                reached = 1 if isinstance(decision, Start) else len(history[number].rungs) + 1
                state = "completed" if reached == 3 else "paused"
                history[number:] = [trial(number, *[float(number)] * reached, state=state), *history[number + 1 :]]
            assert len(history) == trials
            assert history[-1].state == "completed"


def test_checkpoints_of_those_that_can_no_longer_win_need_not_be_kept() -> None:
    history = [trial(n, float(n)) for n in range(6)]
    assert without_hope(history, goal(trials=9)) == {
        2: "rank 4 of 6 at step 10: at most 3 can wait",
        1: "rank 5 of 6 at step 10: at most 3 can wait",
        0: "rank 6 of 6 at step 10: at most 3 can wait",
    }
    assert without_hope(history, goal(trials=18)) == {}


def test_until_one_has_completed_the_next_best_waits_for_the_first_to_fail() -> None:
    small = goal(trials=3, rungs=(10, 30))
    ahead = trial(2, 22.0, state="running")
    waiting = [trial(0, 20.0), trial(1, 21.0)]
    assert set(without_hope([*waiting, ahead], small)) == {0}
    failed = replace(ahead, state="failed")
    assert Halving(small).next([waiting[0], waiting[1], failed]) == Resume(
        1, "rank 1 of 2 at step 10: the best 1 go on"
    )
    assert set(without_hope([*waiting, trial(2, 22.0, 25.0, state="completed")], small)) == {0, 1}


points = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.booleans()), min_size=1, max_size=12
)


@settings(deadline=None)
@given(points=points, objectives=st.integers(1, 3))
def test_the_order_is_that_of_brute_force(points: list[tuple[int, int, int, bool]], objectives: int) -> None:
    directions = ["maximize", "minimize", "maximize"][:objectives]
    values = [[float(v) for v in point[:objectives]] for point in points]
    feasible = [point[3] for point in points]
    got = order(values, directions, feasible)
    assert sorted(got) == list(range(len(points)))
    keys = _brute_force(values, directions, feasible)
    assert [keys[i] for i in got] == sorted(keys)


def _brute_force(values: list[list[float]], directions: list[str], feasible: list[bool]) -> list[tuple[Any, ...]]:
    """For each point: infeasible, layer, minus what it adds to its layer; by definition, without any library."""
    turned = np.array(values) * [-1 if direction == "maximize" else 1 for direction in directions]
    width = np.ptp(turned, axis=0)
    scaled = (turned - turned.min(axis=0)) / np.where(width > 0, width, 1)
    keys: list[tuple[Any, ...]] = [()] * len(values)
    for wanted in (True, False):
        left = [i for i in range(len(values)) if feasible[i] == wanted]
        layer = 0
        while left:
            front = [i for i in left if not any(_beats(scaled[j], scaled[i]) for j in left)]
            for i in front:
                others = np.array([scaled[j] for j in front if tuple(scaled[j]) != tuple(scaled[i])])
                adds = _volume(np.array([scaled[j] for j in front])) - _volume(others) if scaled.shape[1] > 1 else 0.0
                keys[i] = (not wanted, layer, -round(adds, 9))
            left = [i for i in left if i not in front]
            layer += 1
    return keys


def _beats(a: Any, b: Any) -> bool:
    return bool((a <= b).all() and (a < b).any())


def _volume(costs: Any) -> float:
    """Volume below (1.1, ...) that the points cover, by inclusion of the cells between all coordinates."""
    if len(costs) == 0:
        return 0.0
    edges = [sorted({*costs[:, k].tolist(), 1.1}) for k in range(costs.shape[1])]
    total = 0.0
    for cell in itertools.product(*[list(itertools.pairwise(edge)) for edge in edges]):
        corner = np.array([low for low, _ in cell])
        if any((point <= corner).all() for point in costs):
            total += float(np.prod([high - low for low, high in cell]))
    return total


@pytest.mark.parametrize("eta", [2, 3])
def test_one_objective_is_plain_sorting(eta: int) -> None:
    history = [trial(n, value) for n, value in enumerate([3.0, 1.0, 2.0])]
    assert list(ranking(history, 10, goal(eta=eta))) == [0, 2, 1]
