"""The hypervolume improvement that a normal outcome is expected to bring, exactly, for any number of objectives.

What no result covers yet is cut into boxes. Independent normal outcomes make the expectation over a box a product of
one-dimensional expected improvements. All objectives are maximized.
Source: Yang, Emmerich, Deutz and Baeck 2019, "Efficient computation of expected hypervolume improvement".
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]


def uncovered(
    points: Array,  # [points, objectives], any
    reference: Array,  # [objectives]
) -> tuple[Array, Array]:
    """Boxes that tile what is better than the reference and covered by no point.

    Returns:
        Lower and upper corners, [boxes, objectives] each; upper ones may be infinite.
    """
    above = points[(points > reference).all(axis=1)]
    if len(reference) == 1:
        low = np.max(above, initial=float(reference[0]))
        return np.array([[low]]), np.array([[np.inf]])
    # Slabs between neighbouring values of the last objective; in each, what the points above it leave uncovered.
    edges = np.unique(np.append(above[:, -1], [reference[-1], np.inf]))
    lows, highs = [], []
    for low, high in pairwise(edges):
        inner_low, inner_high = uncovered(above[above[:, -1] >= high, :-1], reference[:-1])
        lows.append(np.column_stack([inner_low, np.full(len(inner_low), low)]))
        highs.append(np.column_stack([inner_high, np.full(len(inner_high), high)]))
    return np.concatenate(lows), np.concatenate(highs)


def expected_improvement(
    mean: Array,  # [..., objectives]
    variance: Array,  # [..., objectives]
    boxes: tuple[Array, Array],
) -> Array:
    """Expected hypervolume improvement of independent normal outcomes over what `uncovered` left. [...]"""
    deviation = np.sqrt(variance)
    total: Array = np.zeros(())
    product: Array = np.ones(())
    for objective in range(mean.shape[-1]):
        edges, places = np.unique(np.stack([side[:, objective] for side in boxes]), return_inverse=True)
        places = places.reshape(2, -1)
        gains = _one_sided(mean[..., objective, None], deviation[..., objective, None], edges)
        product = product * (gains[..., places[0]] - gains[..., places[1]])
    total = product.sum(axis=-1)
    return np.maximum(total, 0.0)


def _one_sided(mean: Array, deviation: Array, edges: Array) -> Array:
    """E[max(Y - edge, 0)], 0 at infinity. [..., edges]"""
    finite = np.where(np.isinf(edges), 0.0, edges)
    away = (mean - finite) / deviation
    gain = (mean - finite) * ndtr(away) + deviation * np.exp(-0.5 * away**2) / np.sqrt(2 * np.pi)
    return np.asarray(np.where(np.isinf(edges), 0.0, gain))
