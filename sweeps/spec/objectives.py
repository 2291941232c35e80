"""Objectives: metrics that a sweep optimises; constraints: limits of metrics. The metric owns its direction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from f3rm_core import METRICS, Metric
from sweeps.errors import Issue
from sweeps.spec.documents import suggestion

MAX_OBJECTIVES = 4
MOST_DB = 100.0


def objectives_of(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of a checked list of names, in the order given."""
    return tuple(METRICS[name] for name in names)


def excess(name: str, limit: float, metrics: Mapping[str, float]) -> float:
    """How far a result lies beyond one limit, as a part of the limit; at most 0 where it keeps it: at most the limit,
    or at least, where more of the metric is better. A result that lacks the metric lies beyond it by 1."""
    if name not in metrics:
        return 1.0
    more_is_better = name in METRICS and METRICS[name].direction == "maximize"
    beyond = limit - metrics[name] if more_is_better else metrics[name] - limit
    return beyond / max(abs(limit), 1e-12)


def is_feasible(constraints: Mapping[str, float], metrics: Mapping[str, float]) -> bool:
    """Whether a result keeps every constraint (metric -> limit)."""
    return all(excess(name, limit, metrics) <= 0 for name, limit in constraints.items())


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


def check_constraints(constraints: Mapping[str, float]) -> list[Issue]:
    """Everything wrong with limits on metrics that can be seen without the scene."""
    issues = []
    for name, limit in constraints.items():
        if name not in METRICS:
            issues.append(Issue(f"constraints.{name}", limit, f"no such metric{suggestion(name, METRICS)}"))
        elif METRICS[name].direction == "minimize" and limit <= 0:
            issues.append(Issue(f"constraints.{name}", limit, "nothing can be as little; give a limit above 0"))
        elif limit > _most(METRICS[name]):
            remedy = f"nothing can be as much; give a limit of at most {_most(METRICS[name]):g}"
            issues.append(Issue(f"constraints.{name}", limit, remedy))
    return issues


def _most(metric: Metric) -> float:
    """More than this no training reaches: of a share its ideal, of PSNR a hundredfold less error than 8 bits have."""
    if metric.direction == "minimize":
        return math.inf
    return metric.ideal if metric.unit == "1" else MOST_DB


def check_available(
    names: Iterable[str], available: Sequence[str], scene: str, *, field: str = "objectives"
) -> list[Issue]:
    """Metrics that a scene can't give.

    Args:
        names: the metrics asked for.
        field: the spec's field that names them: a list or a mapping.
        available: the metrics that the scene can give.
        scene: the scene as the user wrote it.
    """
    remedy = f"the scene {scene} can't give it; it gives {', '.join(available)}"
    return [
        Issue(f"{field}.{index if isinstance(names, Sequence) else name}", name, remedy)
        for index, name in enumerate(names)
        if name not in available
    ]
