"""The claims as data: what they name exists, their values are legal, and at the defaults they are the guide's own."""

from __future__ import annotations

import math

import pytest

from f3rm_core import METRICS, PARAMETERS, check_parameters
from sweeps.spec.ablation import BASE_ARM
from sweeps.spec.claim_table import ARMS, CLAIMS, PRESET_ARMS, change_of
from sweeps.spec.claims import Claim, Region, Size, at_base
from sweeps.spec.presets import load_preset, overlay

ALL_ARMS = (*ARMS, *PRESET_ARMS)


@pytest.mark.parametrize("base", ["f3rm_default", "demo_cpu"])
@pytest.mark.parametrize("arm", ALL_ARMS)
def test_every_arm_is_a_legal_configuration_that_differs(arm: str, base: str) -> None:
    fixed = load_preset(base).resolved
    values = at_base(change_of(arm), fixed)
    assert values
    whole = check_parameters(overlay(fixed, values))
    assert all(whole[name] == value != fixed[name] for name, value in values.items())


def test_at_the_defaults_arms_have_the_guides_numbers() -> None:
    fixed = load_preset("f3rm_default").resolved
    for values in ARMS.values():
        assert at_base(values, fixed) == dict(values)
    quick = at_base(change_of("preset-quick"), fixed)
    assert (quick["max_res"], quick["num_nerf_samples_per_ray"], quick["max_num_iterations"]) == (1024, 32, 15000)
    assert at_base(change_of("preset-memory"), fixed)["train_num_rays_per_batch"] == 4096


def test_every_arm_answers_a_claim_and_every_claim_has_an_arm_or_a_reason() -> None:
    assert {claim.arm for claim in CLAIMS.values() if claim.arm} == set(ALL_ARMS)
    assert BASE_ARM not in ALL_ARMS
    assert len(ALL_ARMS) == len(set(ALL_ARMS))


def test_ids_are_unique_and_there_are_many() -> None:
    assert [claim.id for claim in CLAIMS.values()] == list(CLAIMS)
    measured = [claim for claim in CLAIMS.values() if not claim.out_of_reach]
    assert len(measured) >= 30
    # Two claims that ask the same of the same arm would be one.
    asked = {(claim.arm, claim.metric, claim.measure) for claim in measured}
    assert len(asked) == len(measured)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_a_claims_metric_and_regions_fit_each_other(claim: Claim) -> None:
    assert claim.says
    if claim.out_of_reach:
        assert claim.metric == ""
        return
    assert claim.metric in METRICS
    no_effect = 1.0 if claim.measure == "ratio" else 0.0
    keeps = ("features-need-none", "memory-colours", "memory-features", "language-colours")
    assert claim.region.holds(no_effect, no_effect) == (claim.id in keeps)
    if METRICS[claim.metric].unit in ("s", "GB"):
        assert claim.measure == "ratio"
    if claim.size:
        assert claim.size.fits.holds(claim.size.stated, claim.size.stated)


def test_the_sizes_that_the_guide_states() -> None:
    stated = {id_: claim.size.stated for id_, claim in CLAIMS.items() if claim.size}
    assert stated["samples-few-fast"] == pytest.approx(1 / 1.5)
    assert stated["samples-many-slow"] == 2
    assert (stated["quick-fast"], stated["high-slow"]) == (0.5, 3)
    # 80% of signal over error is an error a quarter larger: 20 log10(1.25) dB.
    assert stated["quick-colours"] == pytest.approx(-1.938, abs=1e-3)
    assert stated["high-colours"] == pytest.approx(1.584, abs=1e-3)
    assert (stated["quick-features"], stated["high-features"]) == (0.8, 1.2)


def test_values_at_another_base_are_in_proportion() -> None:
    base = {
        **{name: parameter.default for name, parameter in PARAMETERS.items()},
        "num_nerf_samples_per_ray": 16,
        "log2_hashmap_size": 15,
        "max_res": 512,
        "feat_loss_weight": 1e-2,
        "mixed_precision": False,
    }
    change = {
        "num_nerf_samples_per_ray": 32,  # of 48: two thirds
        "log2_hashmap_size": 21,  # two more than 19
        "max_res": 4096,  # of 2048: twice
        "feat_loss_weight": 1e-1,  # of 1e-3: a hundred times
        "mixed_precision": True,
        "hidden_dim": 32,
    }
    assert at_base(change, base) == {
        "num_nerf_samples_per_ray": 11,
        "log2_hashmap_size": 17,
        "max_res": 1024,
        "feat_loss_weight": pytest.approx(1.0),
        "mixed_precision": True,
        "hidden_dim": 32,
    }


def test_what_changes_nothing_is_left_out() -> None:
    base = {name: parameter.default for name, parameter in PARAMETERS.items()}
    assert at_base({"mixed_precision": True, "max_res": 2048}, base) == {}
    assert at_base({"num_layers": 1}, {**base, "num_layers": 1}) == {}  # half of one layer is one layer


def test_regions() -> None:
    region = Region(0.25, math.inf)
    assert region.holds(0.25, 3.0)
    assert not region.holds(0.2, 3.0)
    assert region.excludes(-1.0, 0.2)
    assert not region.excludes(-1.0, 0.25)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"arm": "max-res-low"},
        {"arm": "max-res-low", "metric": "speed"},
        {"arm": "max-res-low", "metric": "psnr", "out_of_reach": "no"},
        {
            "arm": "max-res-low",
            "metric": "psnr",
            "region": Region(low=0.25),
            "size": Size(-1.0, Region(-2.0, 0.0)),
        },
    ],
)
def test_a_claim_that_contradicts_itself_can_not_be_written(parts: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Claim("id", "says", **parts)  # type: ignore[arg-type]
