"""Who wins, and what is said about it."""

from __future__ import annotations

import pytest

from sweeps.analysis.scenarios import choose
from sweeps.errors import NoResults, UnknownScenario
from sweeps.spec.objectives import objectives_of

TWO = objectives_of(["psnr", "feature_gain"])


def results(*points: tuple[float, float]) -> dict[int, dict[str, float]]:
    return {number: {"psnr": psnr, "feature_gain": gain} for number, (psnr, gain) in enumerate(points)}


def test_balanced_has_the_largest_minimum() -> None:
    # Scaled on the front: (1, 0), (0.5, 0.75), (0.75, 0.25), (0, 1): minima 0, 0.5, 0.25, 0. Trial 4 is dominated.
    winner = choose("balanced", TWO, results((24, 0.2), (22, 0.5), (23, 0.3), (20, 0.6), (19, 0.1)))
    assert winner.number == 1
    assert winner.scores == pytest.approx({"psnr": 0.5, "feature_gain": 0.75})
    assert winner.reason == (
        "Trial 1 (psnr 22 dB, feature_gain 0.5): of 4 points on the front its weakest objective, psnr, is the "
        "least weak, at 50% of the way from the worst to the best on the front "
        "(psnr 20 dB to 24 dB; feature_gain 0.2 to 0.6)."
    )


def test_a_dominated_point_does_not_stretch_the_scale() -> None:
    plain = choose("balanced", TWO, results((24, 0.2), (22, 0.5), (20, 0.6)))
    stretched = choose("balanced", TWO, results((24, 0.2), (22, 0.5), (20, 0.6), (1, 0.0)))
    assert plain.scores == stretched.scores


def test_cost_is_better_where_it_is_less() -> None:
    objectives = objectives_of(["psnr", "train_seconds"])
    found = {
        0: {"psnr": 20.0, "train_seconds": 10.0},
        1: {"psnr": 23.0, "train_seconds": 20.0},
        2: {"psnr": 24.0, "train_seconds": 50.0},
    }
    winner = choose("balanced", objectives, found)
    assert winner.number == 1
    assert winner.scores == pytest.approx({"psnr": 0.75, "train_seconds": 0.75})


def test_equals_go_to_the_larger_sum_and_then_to_the_earlier_trial() -> None:
    assert choose("balanced", TWO, results((20, 0.6), (24, 0.2))).number == 0
    assert choose("balanced", TWO, {7: {"psnr": 1, "feature_gain": 1}, 3: {"psnr": 1, "feature_gain": 1}}).number == 3


def test_one_point_and_one_objective() -> None:
    assert choose("balanced", TWO, results((24, 0.2))).scores == {"psnr": 1.0, "feature_gain": 1.0}
    winner = choose("balanced", TWO[:1], results((20, 0.0), (24, 0.0), (22, 0.0)))
    assert winner.number == 1


def test_no_result_has_no_winner() -> None:
    with pytest.raises(NoResults, match="no trial has completed"):
        choose("balanced", TWO, {})


def test_a_scenario_that_is_not_defined_is_refused() -> None:
    with pytest.raises(UnknownScenario, match=r"scenario='quick'.*balanced"):
        choose("quick", TWO, results((24, 0.2)))
