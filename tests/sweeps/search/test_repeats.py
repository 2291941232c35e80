"""Which configurations are trained again, and how often."""

from __future__ import annotations

import pytest

from f3rm_core import METRICS
from sweeps.search.history import Goal, RungResult, TrialHistory
from sweeps.search.repeats import Repeats

GOAL = Goal((METRICS["psnr"],), {}, {}, (10, 90), trials=4)


def trial(number: int, max_res: int, state: str, *psnrs: float) -> TrialHistory:
    rungs = tuple(RungResult(step, {"psnr": psnr}, 1.0) for step, psnr in zip((10, 90), psnrs, strict=False))
    return TrialHistory(number, {"max_res": max_res}, state, rungs)


@pytest.mark.parametrize(
    ("state", "training"),
    [("completed", 4), ("failed", 4), ("paused", 2), ("pruned", 2)],  # the last two were never trained to the end
)
def test_a_twin_counts_where_it_was_trained_to_its_end(state: str, training: int) -> None:
    twins = [trial(number, 64, state, 19.0, 24.0) for number in (1, 2)]
    history = [trial(0, 64, "completed", 20.0, 25.0), *twins, trial(3, 128, "pruned", 10.0)]
    found = Repeats(GOAL, top=1, seeds=9).next(history)
    assert found is not None
    assert found.parameters == {"max_res": 64}
    assert f"training {training} of 9 of trial 0" in found.reason
