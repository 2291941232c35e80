"""What samplers are shown of a long history."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from f3rm_core import METRICS
from sweeps.search import learning
from sweeps.search.history import Goal, RungResult, TrialHistory
from sweeps.spec.space import FloatDimension

SPACE: Any = {"lr": FloatDimension(type="float", low=0.0, high=1000.0)}


def test_a_sampler_sees_the_front_and_the_newest_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "MOST_RESULTS", {"tpe": 8})
    goal = Goal((METRICS["psnr"], METRICS["feature_gain"]), SPACE, {}, (10,), trials=100)
    history = []
    for number in range(60):
        psnr = 40.0 if number == 3 else 20.0  # the oldest but one kept: it is the front
        rungs = (RungResult(10, {"psnr": psnr, "feature_gain": 0.5}, 1.0),)
        state = ("completed", "failed", "running")[number % 3]
        reason = ("diverged", "timeout", "lost")[number // 20] if state == "failed" else None
        known = rungs if state == "completed" else ()
        history.append(TrialHistory(number, {"lr": float(number)}, state, known, failure_reason=reason))
    rows = learning.study_for(RandomSampler(), "tpe", goal, history).trials
    seen = {state: [row.params["lr"] for row in rows if row.state == state] for state in TrialState}
    assert seen[TrialState.COMPLETE] == [3, 39, 42, 45, 48, 51, 54, 57]
    assert seen[TrialState.PRUNED] == [34, 37]  # a worker that was lost says nothing
    assert seen[TrialState.RUNNING] == [56, 59]
