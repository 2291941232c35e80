"""Spaces counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeps.spec.size import count, few_configurations
from sweeps.spec.sweep import check_spec, parse_spec

PE = {
    "feat_use_pe": {"type": "categorical", "choices": [True, False]},
    "feat_pe_n_freq": {"type": "int", "low": 2, "high": 8, "when": {"feat_use_pe": True}},
}
RATE = {"feat_loss_weight": {"type": "float", "low": 0.25, "high": 1.0}}


@pytest.mark.parametrize(
    ("space", "held"),
    [
        ({"max_res": {"type": "categorical", "choices": [128]}}, 1),
        ({"max_res": {"type": "int", "low": 128, "high": 512, "step": 128}, **PE}, 4 * (7 + 1)),
        ({"feat_loss_weight": {**RATE["feat_loss_weight"], "step": 0.25}}, 4),
        (RATE, 1000),
        ({**PE, **RATE}, 1000),
    ],
)
def test_configurations_are_counted(space: dict[str, Any], held: int, tiny_scene: Path) -> None:
    plan = check_spec(parse_spec({"name": "s", "scene": str(tiny_scene), "space": space}))
    assert count(plan.spec.space, plan.fixed, most=1000) == held


def test_fewer_than_trials_are_warned_of(tiny_scene: Path) -> None:
    def said(trials: int, **parts: Any) -> list[str]:
        spec = {"name": "s", "scene": str(tiny_scene), "space": PE, "budget": {"trials": trials}, **parts}
        return [str(issue) for issue in few_configurations(check_spec(parse_spec(spec)))]

    assert said(8) == []
    assert said(9) == [
        "budget.trials=9: the space holds 8 configurations; the sampler model ends when all were tried, the others "
        "train some again under other seeds; widen the space, or give fewer trials"
    ]
    arms = {"small": {"max_res": 256}}
    assert said(9, kind="ablation", space={}, arms=arms, budget={}) == []
