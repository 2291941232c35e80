"""The knee of a front: the point from which any objective gets dear in the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from f3rm_core import Metric
from sweeps.analysis.pareto import front_of, places, table


@dataclass(frozen=True)
class Knee:
    """The knee point.

    Args:
        trial: its number.
        distance: to the hyperplane through the ends of the scaled front; the ideal point's is sqrt(m) - 1 / sqrt(m)
            for m objectives.
        scores: objective -> 0 (worst on the front) to 1 (best on the front).
    """

    trial: int
    distance: float
    scores: Mapping[str, float]


def knee_of(objectives: Sequence[Metric], results: Mapping[int, Mapping[str, float]]) -> Knee | None:
    """The point of the front that bulges farthest towards the ideal.

    Objectives are scaled to 0, the worst on the front, and 1, the best. The plane on which these add up to 1 goes
    through the ends of a front: for two objectives exactly, for more through the points that are best in one and worst
    in all others, which always exists where the plane through the best trials of each objective may not. The knee is
    the farthest point on the ideal's side of it: giving up a part of one objective there buys less than the same part
    of the others. Of equals the earlier trial.

    Source: Das 1999, On characterizing the "knee" of the Pareto curve based on normal-boundary intersection; the plane
    of unit intercepts as in Deb and Jain 2014 (NSGA-III).

    Args:
        objectives: with their directions.
        results: trial number -> metric -> value.

    Returns:
        None where no point bulges: fewer than two objectives or three points, or a straight or hollow front.
    """
    front = front_of(objectives, results)
    if len(objectives) < 2 or len(front) < 3:
        return None
    _, values = table(objectives, {number: results[number] for number in front})
    scaled = places(values, [objective.direction for objective in objectives])
    distances = (scaled.sum(axis=1) - 1) / math.sqrt(len(objectives))
    best = min(range(len(front)), key=lambda index: (-round(distances[index], 12), front[index]))
    if distances[best] <= 1e-12:
        return None
    scores = {objective.name: float(score) for objective, score in zip(objectives, scaled[best], strict=True)}
    return Knee(front[best], float(distances[best]), scores)
