"""Ablations: which trials they list, and what is said of bad ones."""

from __future__ import annotations

from typing import Any

import pytest

from sweeps.errors import InvalidSpec
from sweeps.spec.check import check_document, check_plan, refuse_errors
from sweeps.spec.claim_table import CLAIMS
from sweeps.spec.sweep import Plan, SweepSpec, check_spec, parse_spec, trial_seed


def document(**parts: Any) -> dict[str, Any]:
    """A small good ablation with parts replaced; None takes a part away."""
    whole = {
        "kind": "ablation",
        "name": "a",
        "base": "demo_cpu",
        "arms": {"coarse": {"max_res": 256}, "low-and-narrow": {"lr": 0.003, "hidden_dim": 32}},
        "seeds": 2,
        **parts,
    }
    return {key: value for key, value in whole.items() if value is not None}


def plan(**parts: Any) -> Plan:
    return check_spec(parse_spec(document(**parts)))


def test_trials_go_seed_by_seed_the_base_first() -> None:
    listed = plan(search={"seed": 5})
    ablation = listed.ablation
    assert ablation is not None
    assert ablation.trials == listed.spec.budget.trials == 6
    assert [ablation.arm(number).name for number in range(6)] == ["base", "coarse", "low-and-narrow"] * 2
    configurations = [listed.configuration(ablation.arm(number).values, number) for number in range(6)]
    assert [each["seed"] for each in configurations] == [trial_seed(5, 0)] * 3 + [trial_seed(5, 1)] * 3
    assert [each["max_res"] for each in configurations] == [512, 256, 512] * 2
    assert [(each["lr"], each["hidden_dim"]) for each in configurations[:3]] == [(0.01, 64), (0.01, 64), (0.003, 32)]


def test_what_varies_is_shown_as_choices_the_bases_value_first() -> None:
    arms = {
        "a": {"max_res": 256},
        "b": {"max_res": 1024, "num_proposal_samples_per_ray": [32, 16]},
        "c": {"max_res": 256, "lr_fields": 1},
    }
    choices = {name: dimension.choices for name, dimension in plan(arms=arms).space.items()}  # type: ignore[union-attr]
    assert choices == {
        "max_res": [512, 256, 1024],
        "num_proposal_samples_per_ray": [[64, 32], [32, 16]],
        "lr_fields": [1.0],
    }


def test_claims_become_arms_at_the_base_once() -> None:
    listed = plan(arms=None, claims=["samples-few-fast", "samples-few-noisy", "quick-fast", "mixed-precision"])
    assert list(listed.spec.arms) == ["samples-few", "preset-quick"]
    assert listed.spec.arms["samples-few"] == {"num_nerf_samples_per_ray": 11}
    assert listed.spec.arms["preset-quick"]["max_num_iterations"] == 300  # half of demo_cpu's
    assert listed.spec.budget.trials == 3 * 2


def test_all_claims() -> None:
    listed = plan(arms=None, claims="all", allow=["unstable-rates"])
    assert listed.spec.claims == list(CLAIMS)
    assert set(listed.spec.arms) == {claim.arm for claim in CLAIMS.values() if claim.arm}
    # At a base that is a claim's arm already, the claim is left out of "all".
    fewer = plan(arms=None, claims="all", allow=["unstable-rates"], parameters={"feat_use_pe": False})
    assert set(listed.spec.claims) - set(fewer.spec.claims) == {"encoding-helps"}
    # And where it can't be had: a table of 2^11 entries has no quarter.
    small = plan(arms=None, claims="all", allow=["unstable-rates"], parameters={"log2_hashmap_size": 11})
    assert set(listed.spec.claims) - set(small.spec.claims) == {"table-small-memory", "table-small-blurry"}


def test_a_stored_ablation_keeps_its_arms() -> None:
    stored = plan(claims="all", allow=["unstable-rates"]).spec
    again = SweepSpec.model_validate(stored.model_dump(mode="json"))
    assert check_spec(again).spec == stored


def test_an_arm_under_a_claims_name_takes_its_place() -> None:
    listed = plan(arms={"samples-few": {"num_nerf_samples_per_ray": 8}}, claims=["samples-few-fast"])
    assert listed.spec.arms == {"samples-few": {"num_nerf_samples_per_ray": 8}}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"arms": None}, "arms", "give arms, claims or both"),
    ({"arms": {}}, "arms", "give arms, claims or both"),
    ({"arms": {"a": {}}}, "arms.a", "is empty"),
    ({"arms": {"base": {"max_res": 256}}}, "arms.base", "another name"),
    ({"arms": {"a": {"max_ress": 256}}}, "arms.a.max_ress", "did you mean max_res?"),
    ({"arms": {"a": {"max_res": "fine"}}}, "arms.a.max_res", "give an integer"),
    ({"arms": {"a": {"feature_type": "DINO"}}}, "arms.a.feature_type", "can't be compared"),
    ({"arms": {"a": {"seed": 3}}}, "arms.a.seed", "a seed is no hyperparameter"),
    ({"arms": {"a": {"steps_per_save": 3}}}, "arms.a.steps_per_save", "changes no result"),
    ({"arms": {"a|b": {"max_res": 256}}}, "arms", "letters, digits"),
    ({"arms": {f"a{n}": {"max_res": 1 + n} for n in range(257)}}, "arms", "at most 256"),
    ({"arms": {"a": 256}}, "arms.a", "mapping"),
    ({"arms": {"a": {"max_res": 512}}}, "arms.a", "changes nothing at this base"),
    ({"claims": ["max-res-lo-fast"]}, "claims.0", "did you mean max-res-low-fast?"),
    ({"claims": ["poor-colours", "poor-colours"]}, "claims.1", "is given twice"),
    ({"claims": "everything"}, "claims", "list"),
    ({"claims": ["encoding-helps"], "parameters": {"feat_use_pe": False}}, "claims.0", "changes nothing at this base"),
    ({"claims": ["table-small-blurry"], "parameters": {"log2_hashmap_size": 11}}, "claims.0", "can't be had"),
    ({"arms": None, "claims": ["mixed-precision"]}, "claims", "none of them has an arm"),
    ({"seeds": 1}, "seeds", "greater than or equal to 2"),
    ({"seeds": 31}, "seeds", "less than or equal to 30"),
    ({"space": {"max_res": {"type": "int", "low": 64, "high": 128}}}, "space", "lists its trials"),
    ({"fidelity": {"rungs": [100, 300]}}, "fidelity.rungs", "give one number"),
    ({"search": {"warm_start": {"presets": ["quick_prototype"]}}}, "search.warm_start", "leave it out"),
    ({"search": {"repeats": {"top": 2}}}, "search.repeats", "give seeds, and leave this out"),
    ({"parameters": {"seed": 3}}, "parameters.seed", "give search.seed"),
    ({"budget": {"trials": 7}}, "budget.trials", "follow from its arms and seeds (3 x 2)"),
    ({"kind": "grid"}, "kind", "'search' or 'ablation'"),
    ({"kind": "search"}, "arms", "kind: ablation"),
    ({"kind": None, "arms": None, "claims": "all"}, "claims", "kind: ablation"),
    ({"kind": None, "arms": None, "seeds": 5}, "seeds", "kind: ablation"),
]


@pytest.mark.parametrize(("parts", "field", "words"), BAD, ids=[f"{index}-{bad[1]}" for index, bad in enumerate(BAD)])
def test_the_field_at_fault_is_named(parts: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        plan(**parts)
    assert field in [issue.field for issue in caught.value.issues]
    found = next(issue for issue in caught.value.issues if issue.field == field)
    assert words in found.remedy
    assert "\n" not in str(caught.value)


def test_an_arm_that_a_rule_refuses_is_named_with_the_rule_and_how_to_allow_it() -> None:
    arms = {"hot": {"lr": 0.05, "feat_loss_weight": 1.0}, "fine": {"max_res": 1024}}
    with pytest.raises(InvalidSpec, match=r"arms\.hot: breaks unstable-rates.*allow: \[unstable-rates\]") as caught:
        refuse_errors(plan(arms=arms))
    assert [issue.field for issue in caught.value.issues] == ["arms.hot"]
    refuse_errors(plan(arms=arms, allow=["unstable-rates"]))


def test_an_arm_that_can_not_be_built_is_refused_whatever_is_allowed() -> None:
    arms = {"upside-down": {"max_res": 8}}  # below base_res
    with pytest.raises(InvalidSpec, match=r"arms\.upside-down: breaks impossible: .*base_res") as caught:
        refuse_errors(plan(arms=arms, allow=["impossible"]))
    assert "allow:" not in str(caught.value)
    assert not check_plan(plan(arms=arms, allow=["impossible"])).ok


def test_check_looks_at_every_arm() -> None:
    checked = check_plan(plan(arms={"hot": {"lr": 0.05, "feat_loss_weight": 1.0}}))
    assert (checked.kind, checked.samples, checked.forbidden, checked.ok) == ("arms", 2, 0.5, False)
    assert check_document(document()).kind == "arms"
