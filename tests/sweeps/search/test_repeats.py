"""Which configurations are trained again, and how often, played by hand: two objectives, one rung."""

from __future__ import annotations

from collections import Counter

import pytest

from f3rm_core import METRICS
from sweeps.analysis.scenarios import choose
from sweeps.search.history import Goal, RungResult, TrialHistory
from sweeps.search.repeats import Repeats
from sweeps.search.rungs import ranking

OBJECTIVES = (METRICS["psnr"], METRICS["feature_gain"])
GOAL = Goal(objectives=OBJECTIVES, space={}, fixed={}, rungs=(10,), trials=4)
FRONT = [(24.0, 0.2), (22.0, 0.4), (21.9, 0.404), (20.0, 0.6)]
"""Scaled: (1, 0), (0.5, 0.5), (0.475, 0.51), (0, 1). The two in the middle add next to nothing to the hypervolume."""


def completed(number: int, result: tuple[float, float], parameters: dict[str, float] | None = None) -> TrialHistory:
    metrics = {"psnr": result[0], "feature_gain": result[1]}
    parameters = {"feat_loss_weight": float(number)} if parameters is None else parameters
    return TrialHistory(number, parameters, "completed", (RungResult(10, metrics, 1.0),))


def search() -> list[TrialHistory]:
    return [completed(number, result) for number, result in enumerate(FRONT)]


def test_the_balanced_winner_is_repeated_first_whatever_its_rank() -> None:
    assert choose("balanced", OBJECTIVES, dict(enumerate(map(_metrics, FRONT)))).number == 1
    best = next(iter(ranking(search(), 10, GOAL)))
    assert best != 1
    repeats, history, repeated = Repeats(GOAL, top=2, seeds=3), search(), []
    while (start := repeats.next(history)) is not None:
        assert start.parameters is not None
        assert start.to_end
        repeated.append(int(start.parameters["feat_loss_weight"]))
        # The winner turns out worse: that does not change who is repeated.
        history.append(completed(len(history), (10.0, 0.1), dict(start.parameters)))
    assert repeated == [1, 1, best, best]


def test_several_that_run_at_once_are_counted() -> None:
    repeats, history = Repeats(GOAL, top=1, seeds=4), search()
    while (start := repeats.next(history)) is not None:
        history.append(TrialHistory(len(history), start.parameters or {}, "running", running_to=10))
    assert Counter(trial.parameters["feat_loss_weight"] for trial in history)[1.0] == 4
    assert len(history) == len(FRONT) + 3


@pytest.mark.parametrize(
    ("state", "training"),
    [("completed", 4), ("failed", 4), ("paused", 2), ("pruned", 2)],  # the last two were never trained to the end
)
def test_a_twin_counts_where_it_was_trained_to_its_end(state: str, training: int) -> None:
    goal = Goal((METRICS["psnr"],), {}, {}, (10, 90), trials=4)

    def trial(number: int, max_res: int, state: str, *psnrs: float) -> TrialHistory:
        rungs = tuple(RungResult(step, {"psnr": psnr}, 1.0) for step, psnr in zip((10, 90), psnrs, strict=False))
        return TrialHistory(number, {"max_res": max_res}, state, rungs)

    twins = [trial(number, 64, state, 19.0, 24.0) for number in (1, 2)]
    history = [trial(0, 64, "completed", 20.0, 25.0), *twins, trial(3, 128, "pruned", 10.0)]
    found = Repeats(goal, top=1, seeds=9).next(history)
    assert found is not None
    assert found.parameters == {"max_res": 64}
    assert f"training {training} of 9 of trial 0" in found.reason


def test_nothing_feasible_is_repeated() -> None:
    strict = Goal(objectives=OBJECTIVES, space={}, fixed={}, rungs=(10,), constraints={"psnr": 30.0}, trials=4)
    assert Repeats(strict, top=2, seeds=2).next(search()) is None
    assert Repeats(GOAL, top=2, seeds=2).next([]) is None


def _metrics(result: tuple[float, float]) -> dict[str, float]:
    return {"psnr": result[0], "feature_gain": result[1]}
