"""Checks of configurations and spaces: shares worked out by hand, and what is refused before launch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeps.errors import InvalidSpec
from sweeps.spec.check import Checked, check_document, check_plan, check_sweep, launch_error, refuse_errors
from sweeps.spec.draw import draw
from sweeps.spec.rules import IMPOSSIBLE
from sweeps.spec.sweep import Plan, check_spec, parse_spec

RATES = {
    "lr": {"type": "categorical", "choices": [0.01, 0.05]},
    "feat_loss_weight": {"type": "categorical", "choices": [1e-3, 1e-2, 1e-1, 1.0]},
}


@pytest.fixture
def plan_of(tiny_scene: Path) -> Any:
    def plan(space: dict[str, Any], **parts: Any) -> Plan:
        return check_spec(parse_spec({"name": "s", "scene": str(tiny_scene), "space": space, **parts}))

    return plan


def shares(checked: Checked) -> dict[str, float]:
    return {finding.rule: finding.share for finding in checked.findings}


def test_the_share_of_a_space_that_a_rule_forbids(plan_of: Any) -> None:
    checked = check_plan(plan_of(RATES))
    # Half of the rates, with half of the weights.
    assert shares(checked)["unstable-rates"] == pytest.approx(0.25, abs=0.06)
    assert shares(checked)["high-rate"] == pytest.approx(0.5, abs=0.07)
    assert (checked.kind, checked.samples, checked.ok) == ("space", 512, False)
    assert checked.forbidden == shares(checked)["unstable-rates"]
    assert [finding.severity for finding in checked.findings] == ["error", "warning"]


def test_a_share_in_a_logarithmic_range(plan_of: Any) -> None:
    space = {"feat_loss_weight": {"type": "float", "low": 1e-4, "high": 100.0, "log": True}}
    assert shares(check_plan(plan_of(space))) == {"features-rule-density": pytest.approx(2 / 6, abs=0.07)}


def test_the_same_space_gives_the_same_findings(plan_of: Any) -> None:
    assert check_plan(plan_of(RATES)) == check_plan(plan_of(RATES))


def test_values_that_can_not_be_built_together_are_found(plan_of: Any) -> None:
    space = {
        "base_res": {"type": "categorical", "choices": [16, 64]},
        "max_res": {"type": "int", "low": 32, "high": 95},
    }
    # base_res 64 with max_res 32..63.
    assert shares(check_plan(plan_of(space)))[IMPOSSIBLE] == pytest.approx(0.25, abs=0.06)


def test_a_fine_space_is_fine(plan_of: Any) -> None:
    plan = plan_of({"max_res": {"type": "int", "low": 512, "high": 2048}})
    assert check_plan(plan) == Checked("s", "space", 512, 0.0, ())
    assert refuse_errors(plan) == []


def test_a_space_with_fewer_configurations_than_trials_is_told(plan_of: Any) -> None:
    one = plan_of({"max_res": {"type": "categorical", "choices": [128]}}, budget={"trials": 6})
    said = "budget.trials=6: the space holds 1 configuration; "
    assert [warning[: len(said)] for warning in (*check_sweep(one).warnings, *refuse_errors(one))] == [said] * 2


def test_errors_refuse_a_sweep_by_field_share_and_the_way_out(plan_of: Any) -> None:
    with pytest.raises(InvalidSpec) as caught:
        refuse_errors(plan_of(RATES))
    assert caught.value.field == "space.lr"
    assert "% of the space breaks unstable-rates: lr=0.05, feat_loss_weight=" in str(caught.value)
    assert str(caught.value).endswith("or give allow: [unstable-rates]")
    assert "\n" not in str(caught.value)


def test_an_error_that_is_allowed_refuses_nothing_and_is_still_told(plan_of: Any) -> None:
    plan = plan_of(RATES, allow=["unstable-rates"])
    assert "% of the space breaks unstable-rates: lr=0.05" in refuse_errors(plan)[0]
    checked = check_plan(plan)
    assert (checked.ok, checked.forbidden) == (True, 0.0)
    assert checked.findings[0].allowed


def test_a_fixed_parameter_at_fault_is_named(plan_of: Any) -> None:
    space = {"max_res": {"type": "int", "low": 512, "high": 2048}}
    with pytest.raises(InvalidSpec, match=r"parameters\.feat_loss_weight: all of the space breaks no-features"):
        refuse_errors(plan_of(space, parameters={"feat_loss_weight": 0.0}))


def test_a_trial_in_a_forbidden_corner_is_not_launched(plan_of: Any) -> None:
    plan = plan_of(RATES)
    forbidden = plan.configuration({"lr": 0.05, "feat_loss_weight": 1.0}, 0)
    error = launch_error(forbidden, [])
    assert error is not None
    assert error.rule == "unstable-rates"
    assert launch_error(forbidden, ["unstable-rates"]) is None
    assert launch_error(plan.configuration({"lr": 0.01, "feat_loss_weight": 1.0}, 0), []) is None
    impossible = launch_error({**forbidden, "max_res": 1}, [IMPOSSIBLE, "unstable-rates"])
    assert str(impossible) == "max_res=1: must be at least base_res (16); change one of them"


def test_a_preset_needs_neither_name_nor_base_in_a_request() -> None:
    checked = check_document({"parameters": {"feat_loss_weight": 0.0}})
    assert (checked.kind, checked.samples, shares(checked)) == ("configuration", 1, {"no-features": 1.0})


def test_conditions_hold_in_what_is_drawn(plan_of: Any) -> None:
    from random import Random

    plan = plan_of(
        {
            "feat_pe_n_freq": {"type": "int", "low": 2, "high": 8, "log": True, "when": {"feat_use_pe": True}},
            "feat_use_pe": {"type": "categorical", "choices": [True, False]},
            "lr": {"type": "float", "low": 0.001, "high": 0.005, "step": 0.001},
        }
    )
    random = Random(0)
    drawn = [draw(plan.spec.space, plan.fixed, random) for _ in range(400)]
    assert all(("feat_pe_n_freq" in values) == values["feat_use_pe"] for values in drawn)
    assert {values["feat_pe_n_freq"] for values in drawn if "feat_pe_n_freq" in values} == set(range(2, 9))
    assert {round(values["lr"], 6) for values in drawn} == {0.001, 0.002, 0.003, 0.004, 0.005}
