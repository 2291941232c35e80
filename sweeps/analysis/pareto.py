"""The front: which results no other result beats, and how much they cover. Arrays and plain values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from f3rm_core import Metric


def costs(
    values: NDArray[np.float64],  # [points, objectives]
    directions: Sequence[str],
) -> NDArray[np.float64]:
    """Values with every objective turned so that less is better. [points, objectives]"""
    signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])
    return np.asarray(values, dtype=np.float64).reshape(-1, len(directions)) * signs


def non_dominated(
    values: NDArray[np.float64],  # [points, objectives]
    directions: Sequence[str],
) -> NDArray[np.bool_]:
    """Which points no other beats: none is as good in all objectives and better in one. Equal points are all kept.

    Args:
        values: finite.
        directions: "maximize" or "minimize" for each objective.

    Returns:
        [points], true on the front.
    """
    return ranks(values, directions) == 0


def places(
    values: NDArray[np.float64],  # [points, objectives]
    directions: Sequence[str],
) -> NDArray[np.float64]:
    """Each objective between 0, the worst of these points, and 1, the best; 1 where all are equal.
    [points, objectives]"""
    turned = costs(values, directions)
    worst, best = turned.max(axis=0), turned.min(axis=0)
    width = worst - best
    return np.where(width > 0, (worst - turned) / np.where(width > 0, width, 1.0), 1.0)


def ranks(
    values: NDArray[np.float64],  # [points, objectives]
    directions: Sequence[str],
) -> NDArray[np.int64]:
    """Rank by non-dominated sorting: 0 is the front, 1 the front of the rest, and so on. [points]

    Source: Deb et al. 2002 (NSGA-II), section III.A.
    """
    turned = costs(values, directions)
    if len(turned) == 0:
        return np.zeros(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(turned), dtype=np.int64)


def skyband(
    values: NDArray[np.float64],  # [points, objectives]
    directions: Sequence[str],
    most: int,
) -> NDArray[np.bool_]:
    """Which points at most so many others beat; most 0 is the front. Any `most` points may turn out worse, and the
    front is still among these.

    Source: Papadias et al. 2005, section 4.6 (k-skyband).

    Returns:
        [points], true where it is.
    """
    few = np.flatnonzero(ranks(values, directions) <= most)  # one of each layer before beats a point of a later one
    turned = costs(values, directions)[few]
    as_good = np.ones((len(few), len(few)), dtype=bool)  # row as good as column in everything
    for column in turned.T:
        as_good &= column[:, None] <= column[None, :]
    inside = np.zeros(len(values), dtype=bool)
    inside[few[(as_good & ~as_good.T).sum(axis=0) <= most]] = True
    return inside


def order(
    values: Sequence[Sequence[float]] | NDArray[np.float64],  # [points, objectives]
    directions: Sequence[str],
    feasible: Sequence[bool],
) -> list[int]:
    """Indices of the points, the best first: feasible before infeasible, then by layer of non-dominated sorting, then
    by what a point adds to the hypervolume of its layer, then as given.

    Each objective is scaled to [0, 1] over all points; the reference lies 0.1 beyond the worst, so that the ends of a
    layer count but don't always win. One objective gives the plain order.

    Args:
        values: finite.
        directions: "maximize" or "minimize" for each objective.
        feasible: for each point.
    """
    turned = costs(np.asarray(values, dtype=np.float64), directions)
    if len(turned) == 0:
        return []
    low, width = turned.min(axis=0), np.ptp(turned, axis=0)
    scaled = (turned - low) / np.where(width > 0, width, 1.0)
    ordered: list[int] = []
    for wanted in (True, False):
        part = np.flatnonzero(np.asarray(feasible, dtype=bool) == wanted)
        if len(part) == 0:
            continue
        layers = moocore.pareto_rank(scaled[part])
        for layer in range(int(layers.max()) + 1):
            inside = part[layers == layer]
            ordered += [int(inside[i]) for i in np.argsort(-_adds(scaled[inside]), kind="stable")]
    return ordered


def _adds(
    layer: NDArray[np.float64],  # [points, objectives], costs in [0, 1]
) -> NDArray[np.float64]:
    """What each point adds to the hypervolume of points that don't beat each other; equal points share. [points]"""
    if layer.shape[1] == 1:  # all are equal
        return np.zeros(len(layer))
    points, which = np.unique(layer, axis=0, return_inverse=True)
    adds = moocore.hv_contributions(points, ref=np.full(layer.shape[1], 1.1))
    return np.asarray(adds, dtype=np.float64)[which.reshape(-1)]


def hypervolume(
    values: NDArray[np.float64],  # [points, objectives]
    directions: Sequence[str],
    reference: Sequence[float],
) -> float:
    """Volume between the points and a reference point that is worse than those that count.

    Args:
        values: finite.
        directions: "maximize" or "minimize" for each objective.
        reference: one value for each objective, in its own direction; points no better than it add nothing.
    """
    turned = costs(values, directions)
    limit = costs(np.asarray([reference]), directions)[0]
    inside = turned[(turned < limit).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=limit)) if len(inside) else 0.0


def table(
    objectives: Sequence[Metric], results: Mapping[int, Mapping[str, float]]
) -> tuple[list[int], NDArray[np.float64]]:
    """Results as arrays: trial numbers, and their values [points, objectives]. Results that lack one are left out."""
    numbers = [number for number, metrics in results.items() if all(o.name in metrics for o in objectives)]
    rows = [[results[number][objective.name] for objective in objectives] for number in numbers]
    return numbers, np.array(rows, dtype=np.float64).reshape(len(numbers), len(objectives))


def front_of(objectives: Sequence[Metric], results: Mapping[int, Mapping[str, float]]) -> list[int]:
    """Numbers of the trials on the front, the best in the first objective first.

    Args:
        objectives: with their directions.
        results: trial number -> metric -> value.
    """
    numbers, values = table(objectives, results)
    directions = [objective.direction for objective in objectives]
    on_front = non_dominated(values, directions)
    turned = costs(values, directions)
    order = sorted(range(len(numbers)), key=lambda index: (tuple(turned[index]), numbers[index]))
    return [numbers[index] for index in order if on_front[index]]
