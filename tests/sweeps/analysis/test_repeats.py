"""Seeds: grouping by hand, intervals against scipy's own test and against a table of Student's t."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from f3rm_core import METRICS
from sweeps.analysis.repeats import Spread, difference, group_repeats, repeats_of, spreads

PSNR, SECONDS = METRICS["psnr"], METRICS["train_seconds"]


def spread(*values: float) -> Spread:
    return spreads([{"m": value} for value in values])["m"]


def test_equal_parameters_are_one_configuration() -> None:
    parameters = {0: {"lr": 0.1, "pe": True}, 4: {"pe": True, "lr": 0.1}, 2: {"lr": 0.2, "pe": True}, 7: {"lr": 0.1}}
    assert group_repeats(parameters, {0: 1, 4: 2, 2: 1, 7: 1}) == {0: (0, 4), 2: (2,), 7: (7,)}


def test_the_same_seed_again_is_no_repeat() -> None:
    assert group_repeats({0: {"lr": 1}, 1: {"lr": 1}, 2: {"lr": 1}}, {0: 5, 1: 5, 2: 6}) == {0: (0, 2)}


def test_true_is_not_one() -> None:
    assert group_repeats({0: {"x": True}, 1: {"x": 1}}, {0: 1, 1: 2}) == {0: (0,), 1: (1,)}


def test_mean_and_spread_of_what_all_runs_have() -> None:
    found = spreads([{"psnr": 20.0, "ssim": 0.5}, {"psnr": 22.0}, {"psnr": 24.0, "ssim": 0.7}])
    assert found == {"psnr": Spread(3, 22.0, 2.0)}
    assert spread(20.0) == Spread(1, 20.0, None)


def test_welch_by_hand() -> None:
    # Means 22 and 20, both sd 1 of 3: se = sqrt(2/3), 4 degrees of freedom, t = 2.776445.
    found = difference(PSNR, spread(21, 22, 23), spread(19, 20, 21))
    half = 2.776445105 * math.sqrt(2 / 3)
    assert (found.better_by, found.low, found.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))
    assert not found.beyond_noise
    assert str(found) == "leads by 2 dB in psnr, within the noise of ±2.267 dB"


def test_less_of_a_cost_is_better() -> None:
    found = difference(SECONDS, spread(30, 31, 32), spread(10, 11, 12))
    assert found.better_by == -20
    assert found.beyond_noise
    assert str(found).startswith("is behind by 20 s in train_seconds, more than the noise of ±")


def test_seeds_that_all_agree_leave_no_noise() -> None:
    found = difference(PSNR, spread(21, 21), spread(20, 20, 20))
    assert (found.low, found.better_by, found.high) == (1.0, 1.0, 1.0)
    assert found.beyond_noise


def test_one_result_has_no_spread() -> None:
    with pytest.raises(ValueError, match="psnr"):
        difference(PSNR, spread(21), spread(20, 21))


values = st.lists(st.integers(0, 40).map(lambda n: n / 4), min_size=2, max_size=6).filter(
    lambda found: statistics.stdev(found) > 0
)


@settings(max_examples=100, deadline=None)
@given(values, values)
def test_the_interval_is_scipys(first: list[float], second: list[float]) -> None:
    found = difference(PSNR, spread(*first), spread(*second))
    expected = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_noise_alone_is_called_noise_19_times_in_20() -> None:
    random = np.random.default_rng(3)
    called = [
        difference(PSNR, spread(*random.normal(20, 1, 4)), spread(*random.normal(20, 2, 4))).beyond_noise
        for _ in range(1000)
    ]
    assert 0.02 < np.mean(called) < 0.07


RUNS = {
    0: {"psnr": 23.0},
    1: {"psnr": 22.5},
    2: {"psnr": 23.4},
    3: {"psnr": 22.9},
    4: {"psnr": 18.0},
}


def test_a_lead_within_the_noise() -> None:
    repeats = repeats_of(0, 1, {0: (0, 2), 1: (1, 3), 4: (4,)}, RUNS, [PSNR])
    assert repeats is not None
    assert repeats.spreads["psnr"].mean == pytest.approx(23.2)
    assert not repeats.differences[0].beyond_noise
    # Both sd sqrt(0.08), se = sqrt(0.08), 2 degrees of freedom, t = 4.30265.
    assert str(repeats) == (
        "Figures are means of one configuration under 2 seeds (trials 0 and 2). Against the next best, trial 1 "
        "(2 seeds), it leads by 0.5 dB in psnr, within the noise of ±1.217 dB (Welch's t, 95%)."
    )


def test_without_repeats_nothing_is_said() -> None:
    assert repeats_of(0, 1, {0: (0,), 1: (1,)}, RUNS, [PSNR]) is None


@pytest.mark.parametrize(
    ("winner", "runner_up", "said"),
    [
        (4, 0, "Its configuration ran under one seed only"),
        (0, 4, "The next best, trial 4, ran under one seed: whether the lead is noise is not known."),
        (0, None, "under 2 seeds (trials 0 and 2)."),
    ],
)
def test_what_is_not_known_is_said(winner: int, runner_up: int | None, said: str) -> None:
    repeats = repeats_of(winner, runner_up, {0: (0, 2), 1: (1, 3), 4: (4,)}, RUNS, [PSNR])
    assert repeats is not None
    assert repeats.differences == ()
    assert said in str(repeats)
