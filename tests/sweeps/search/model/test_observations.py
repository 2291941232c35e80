"""Which trials say something about their configuration."""

from __future__ import annotations

import pytest

from f3rm_core import METRICS
from sweeps.search.history import Goal, TrialHistory
from sweeps.search.model.encoding import Encoding
from sweeps.search.model.observations import Table, metrics_of
from sweeps.spec.space import FloatDimension

GOAL = Goal((METRICS["psnr"],), {"lr": FloatDimension(type="float", low=0.0, high=1.0)}, {}, (10, 90))


@pytest.mark.parametrize(("reason", "told"), [("diverged", 1), ("oom", 1), ("timeout", 1), ("lost", 0), ("crashed", 0)])
def test_a_failure_that_the_configuration_is_to_blame_for_is_told(reason: str, told: int) -> None:
    failed = TrialHistory(0, {"lr": 0.5}, "failed", failure_reason=reason)
    seen = Table(GOAL, Encoding(GOAL.space, GOAL.fixed), metrics_of(GOAL)).read([failed])
    assert (len(seen.trials), int(seen.failed.sum())) == (told, told)
