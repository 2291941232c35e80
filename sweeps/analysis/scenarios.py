"""Which point of the front wins, and why. A scenario is one way to weigh the objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from f3rm_core import Metric
from sweeps.analysis.pareto import costs, front_of, table
from sweeps.errors import NoResults, UnknownScenario

SCENARIOS: Mapping[str, str] = {
    "balanced": "the point on the front whose worst objective is best, each scaled between the worst and the best "
    "on the front",
}


@dataclass(frozen=True)
class Winner:
    """The point that a scenario chooses.

    Args:
        scenario: its name.
        number: the trial.
        scores: objective -> 0 (worst on the front) to 1 (best on the front).
        reason: why, in words.
    """

    scenario: str
    number: int
    scores: Mapping[str, float]
    reason: str


def choose(scenario: str, objectives: Sequence[Metric], results: Mapping[int, Mapping[str, float]]) -> Winner:
    """The winner of a scenario.

    Args:
        scenario: one of SCENARIOS.
        objectives: with their directions.
        results: trial number -> metric -> value, of completed trials.

    Raises:
        UnknownScenario: not defined.
        NoResults: no trial has all objectives.
    """
    if scenario not in SCENARIOS:
        raise UnknownScenario(f"scenario={scenario!r}: not defined in this version; give one of {', '.join(SCENARIOS)}")
    front = front_of(objectives, results)
    if not front:
        raise NoResults(
            "no trial has completed, so none can win; wait, or look at the failures with `f3rm-sweeps show`"
        )
    _, values = table(objectives, {number: results[number] for number in front})
    scores = _scores(values, [objective.direction for objective in objectives])  # [points, objectives]
    # The largest minimum; of equals the larger sum, then the earlier trial.
    best = min(range(len(front)), key=lambda i: (-scores[i].min(), -scores[i].sum(), front[i]))
    named = {objective.name: float(score) for objective, score in zip(objectives, scores[best], strict=True)}
    return Winner(scenario, front[best], named, _balanced_reason(objectives, values, scores, best, front))


def _scores(values: NDArray[np.float64], directions: Sequence[str]) -> NDArray[np.float64]:
    """Each objective between 0, the worst on the front, and 1, the best; 1 where all are equal. [points, objectives]"""
    turned = costs(values, directions)
    worst, best = turned.max(axis=0), turned.min(axis=0)
    width = worst - best
    return np.where(width > 0, (worst - turned) / np.where(width > 0, width, 1.0), 1.0)


def _balanced_reason(
    objectives: Sequence[Metric],
    values: NDArray[np.float64],  # [points, objectives]
    scores: NDArray[np.float64],  # [points, objectives]
    best: int,
    front: Sequence[int],
) -> str:
    shown = ", ".join(f"{o.name} {in_units(o, values[best, k])}" for k, o in enumerate(objectives))
    if len(front) == 1:
        return f"Trial {front[best]} ({shown}) is as good as every other in every objective: the front is one point."
    if len(objectives) == 1:
        return f"Trial {front[best]} has the best {objectives[0].name}: {shown}; the first of {len(front)} equals."
    weakest = int(scores[best].argmin())
    ranges = "; ".join(
        f"{o.name} {in_units(o, values[:, k].min())} to {in_units(o, values[:, k].max())}"
        for k, o in enumerate(objectives)
    )
    return (
        f"Trial {front[best]} ({shown}): of {len(front)} points on the front its weakest objective, "
        f"{objectives[weakest].name}, is the least weak, at {scores[best, weakest]:.0%} of the way from the worst to "
        f"the best on the front ({ranges})."
    )


def in_units(metric: Metric, value: float) -> str:
    """A value with its unit, such as `24.1 dB`; a plain ratio has none."""
    text = f"{value:.4g}"
    return text if metric.unit == "1" else f"{text} {metric.unit}"
