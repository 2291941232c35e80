"""Standings that grow with the history agree with those made in one go."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from f3rm_core import METRICS
from sweeps.search.history import Goal, RungResult, TrialHistory
from sweeps.search.standings import Standings

GOAL = Goal(
    (METRICS["psnr"], METRICS["feature_gain"]), {}, {}, (10, 30), constraints={"peak_memory_gb": 8.0}, trials=400
)
events = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["on", "fail", "stop"]), st.booleans()), max_size=60)


def result(step: int, chance: np.random.Generator) -> RungResult:
    metrics = {"psnr": chance.integers(9) / 1.0, "feature_gain": chance.integers(9) / 10, "peak_memory_gb": 7.5}
    return RungResult(step, {**metrics, "peak_memory_gb": float(chance.choice([7.5, 8.5], p=[0.8, 0.2]))}, 1.0)


@settings(deadline=None)
@given(events=events, seed=st.integers(0, 99))
def test_taken_in_step_by_step_or_at_once_they_are_the_same(events: list[tuple[int, str, bool]], seed: int) -> None:
    chance = np.random.default_rng(seed)
    grown, history = Standings(GOAL), list[TrialHistory]()
    for which, event, look in events:
        if which >= len(history):
            history.append(TrialHistory(len(history), {}, "paused", (result(10, chance),)))
        elif history[which].state == "paused":
            trial = history[which]
            rungs = (*trial.rungs, result(30, chance)) if event == "on" and len(trial.rungs) == 1 else trial.rungs
            state = {"on": "completed" if len(rungs) == 2 else "running", "fail": "failed", "stop": "pruned"}[event]
            history[which] = TrialHistory(which, {}, state, rungs)
        if look:
            grown.see(history)
            grown.ranking(10)
    grown.see(history)
    at_once = Standings(GOAL)
    at_once.see(history)
    for step in GOAL.rungs:  # of so few, the order is always the exact one
        assert grown.ranking(step) == at_once.ranking(step)
        assert grown.in_line(step) == at_once.in_line(step)
        assert grown.reached(step) == at_once.reached(step)
        assert grown.can_reach(step) == at_once.can_reach(step)
        assert grown.in_line(step) == [n for n in grown.ranking(step) if n in grown.waiting(step)]
    assert grown.is_any_active == any(trial.state == "running" for trial in history)


def test_of_many_a_newcomer_ranks_below_all_that_beat_it_and_the_order_is_renewed_in_time() -> None:
    chance = np.random.default_rng(0)
    standings, history = Standings(GOAL), list[TrialHistory]()
    for number in range(400):
        metrics = {"psnr": float(chance.normal()), "feature_gain": float(chance.normal()), "peak_memory_gb": 1.0}
        history.append(TrialHistory(number, {}, "paused", (RungResult(10, metrics, 1.0),)))
        standings.see(history)
        mine = standings.rank(number, 10)
        assert mine.of == number + 1
        exact = Standings(GOAL)
        if number % 50 == 49:
            exact.see(history)
            apart = [abs(rank.place - exact.rank(n, 10).place) for n, rank in standings.ranking(10).items()]
            assert max(apart) <= 0.1 * number
            beats_it = [
                other.number
                for other in history
                if all(other.rungs[0].metrics[name] > metrics[name] for name in ("psnr", "feature_gain"))
            ]
            assert all(standings.rank(other, 10).place < mine.place for other in beats_it)
