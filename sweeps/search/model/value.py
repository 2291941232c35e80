"""What an option is worth for its cost, when it may be given up at its next rung.

An option is trained to its next rung; what is measured there says how much hypervolume the last rung will bring; then
it goes on or is given up. The index is the highest ratio of expected gain to expected cost over all ways to decide that
(Gittins' index; Weitzman 1979). A cheap first look at something uncertain is worth more than its expected end.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from sweeps.search.model.fidelity import Outlook
from sweeps.search.model.improvement import expected_improvement

Array = NDArray[np.float64]
Boxes = tuple[Array, Array]
_DRAWS = 16


def plain(outlooks: Sequence[Outlook], boxes: Boxes) -> Array:
    """Expected hypervolume improvement at the last rung. [options]"""
    mean, variance = (np.stack(side, axis=-1) for side in zip(*(one.last for one in outlooks), strict=True))
    return expected_improvement(mean, variance, boxes)


def index(
    outlooks: Sequence[Outlook],
    boxes: Boxes,
    next_cost: Array,  # [options]
    rest_cost: Array,  # [options]
) -> Array:
    """Expected hypervolume improvement for expected cost. [options]

    Args:
        outlooks: one an objective.
        boxes: of `uncovered`.
        next_cost: to the next rung.
        rest_cost: from there to the last; 0 where the next is the last.
    """
    draws = _normal_draws(len(outlooks))
    outcomes = [one.mean[:, None] + np.sqrt(one.variance)[:, None] * draws[:, j] for j, one in enumerate(outlooks)]
    means = [one.slope[:, None] * y + one.offset[:, None] for one, y in zip(outlooks, outcomes, strict=True)]
    rests = [np.broadcast_to(one.rest[:, None], y.shape) for one, y in zip(outlooks, outcomes, strict=True)]
    gains = expected_improvement(np.stack(means, axis=-1), np.stack(rests, axis=-1) + 1e-18, boxes)
    gains = -np.sort(-gains, axis=1)
    going_on = np.arange(1, len(draws) + 1) / len(draws)
    ratios = (np.cumsum(gains, axis=1) / len(draws)) / (next_cost[:, None] + rest_cost[:, None] * going_on)
    decided_later = ratios.max(axis=1)
    straight = plain(outlooks, boxes) / (next_cost + rest_cost)
    return np.where(rest_cost > 0, np.maximum(decided_later, straight), straight)


@functools.cache
def _normal_draws(objectives: int) -> Array:
    """The same evenly spread normal draws for every option, so that options differ by what they are. [draws, m]"""
    return np.asarray(ndtri(qmc.Sobol(objectives, seed=7).random(_DRAWS)), dtype=np.float64)
