"""Paired intervals, worked out by hand and by scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sweeps.analysis.effects import _T, paired_effect


def test_a_difference_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, deviation 1, t of 2 degrees 4.303, half width 4.303 / sqrt(3).
    effect = paired_effect([10.0, 20.0, 30.0], [11.0, 22.0, 33.0], "difference")
    assert effect.value == pytest.approx(2.0)
    assert effect.high == pytest.approx(2.0 + 4.303 / math.sqrt(3))
    assert effect.low == pytest.approx(2.0 - 4.303 / math.sqrt(3))
    assert (effect.base, effect.arm, effect.pairs) == (20.0, 22.0, 3)


def test_a_ratio_by_hand() -> None:
    # Ratios 1 and 4: geometric mean 2; logarithms ln 2 -+ ln 2, deviation sqrt(2) ln 2, half width 12.706 ln 2.
    effect = paired_effect([5.0, 1.0], [5.0, 4.0], "ratio")
    assert effect.value == pytest.approx(2.0)
    assert effect.low == pytest.approx(2.0 ** (1 - 12.706))
    assert effect.high == pytest.approx(2.0 ** (1 + 12.706))


def test_pairs_take_out_what_a_seed_does_to_both() -> None:
    effect = paired_effect([10.0, 20.0, 40.0], [11.0, 21.0, 41.0], "difference")
    assert (effect.low, effect.high) == (1.0, 1.0)
    assert paired_effect([10.0, 20.0, 40.0], [5.0, 10.0, 20.0], "ratio").high == pytest.approx(0.5)


def test_the_intervals_are_scipys() -> None:
    random = np.random.default_rng(0)
    for seeds in (2, 5, 30):
        base, arm = random.normal(20, 1, seeds), random.normal(21, 1, seeds)
        effect = paired_effect(list(base), list(arm), "difference")
        expected = stats.ttest_rel(arm, base).confidence_interval(0.95)
        assert (effect.low, effect.high) == (
            pytest.approx(expected.low, abs=1e-3),
            pytest.approx(expected.high, abs=1e-3),
        )


def test_the_table_of_quantiles() -> None:
    assert pytest.approx(stats.t.ppf(0.975, range(1, 30)), abs=6e-4) == list(_T)


def test_a_share_of_nothing_is_a_thousandth() -> None:
    effect = paired_effect([0.8, 0.8], [-0.1, 0.0], "ratio")
    assert effect.value == pytest.approx(1e-3 / 0.8)
