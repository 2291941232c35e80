"""Objectives: metrics that a sweep optimises; constraints: limits of metrics. The metric owns its direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from f3rm_core import METRICS, Metric
from sweeps.errors import Issue
from sweeps.spec.documents import suggestion

MAX_OBJECTIVES = 4


def objectives_of(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of a checked list of names, in the order given."""
    return tuple(METRICS[name] for name in names)


def keeps_constraint(name: str, limit: float, metrics: Mapping[str, float]) -> bool:
    """Whether a result is within one limit: at most `limit`, or at least, where more of the metric is better.

    A result that lacks the metric is not.
    """
    if name not in metrics:
        return False
    more_is_better = name in METRICS and METRICS[name].direction == "maximize"
    return metrics[name] >= limit if more_is_better else metrics[name] <= limit


def is_feasible(constraints: Mapping[str, float], metrics: Mapping[str, float]) -> bool:
    """Whether a result keeps every constraint (metric -> limit)."""
    return all(keeps_constraint(name, limit, metrics) for name, limit in constraints.items())


def check_objectives(names: Sequence[str]) -> list[Issue]:
    """Everything wrong with a list of objectives that can be seen without the scene."""
    issues = []
    if not 1 <= len(names) <= MAX_OBJECTIVES:
        issues.append(Issue("objectives", list(names), f"give 1 to {MAX_OBJECTIVES} metrics"))
    for index, name in enumerate(names):
        if name not in METRICS:
            issues.append(Issue(f"objectives.{index}", name, f"no such metric{suggestion(name, METRICS)}"))
        elif name in names[:index]:
            issues.append(Issue(f"objectives.{index}", name, "is given twice"))
    return issues


def check_available(names: Sequence[str], available: Sequence[str], scene: str) -> list[Issue]:
    """Objectives that a scene can't give.

    Args:
        names: the objectives.
        available: the metrics that the scene can give.
        scene: the scene as the user wrote it.
    """
    return [
        Issue(f"objectives.{index}", name, f"the scene {scene} can't give it; it gives {', '.join(available)}")
        for index, name in enumerate(names)
        if name not in available
    ]
