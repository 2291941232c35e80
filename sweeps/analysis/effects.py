"""How much an arm of an ablation differs from its base, with an interval. Plain values only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from sweeps.spec.claims import Measure

# Two-sided 95% quantiles of Student's t for 1 to 29 degrees of freedom: an ablation has at most 30 seeds.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045),
)
_LEAST_SHARE = 1e-3
"""What a feature_gain of zero or less counts as in a ratio, which needs a logarithm."""


@dataclass(frozen=True)
class Effect:
    """An arm against its base.

    Args:
        value: mean of the differences, or geometric mean of the ratios, over seeds.
        low, high: its 95% interval.
        base, arm: mean of the metric in each.
        pairs: seeds that both completed.
    """

    value: float
    low: float
    high: float
    base: float
    arm: float
    pairs: int


def paired_effect(base: Sequence[float], arm: Sequence[float], measure: Measure) -> Effect:
    """The effect of an arm over seeds: what chance does to both with one seed cancels as far as it does it alike.

    A t interval of the differences, or of the differences of logarithms where it is a ratio: both assume that those
    scatter normally, which so few seeds can neither show nor refute.

    Args:
        base, arm: a metric's values, seed by seed; at least two.
        measure: "ratio" or "difference".
    """
    pairs = list(zip(base, arm, strict=True))
    if measure == "ratio":
        steps = [math.log(_positive(after) / _positive(before)) for before, after in pairs]
    else:
        steps = [after - before for before, after in pairs]
    middle = fmean(steps)
    half = _T[len(steps) - 2] * stdev(steps) / math.sqrt(len(steps))
    ends = (middle, middle - half, middle + half)
    value, low, high = map(math.exp, ends) if measure == "ratio" else ends
    return Effect(value, low, high, fmean(base), fmean(arm), len(pairs))


def _positive(value: float) -> float:
    return value if value > 0 else _LEAST_SHARE
