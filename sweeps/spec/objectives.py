"""Objectives: metrics that a sweep optimises. The metric owns its direction."""

from __future__ import annotations

from collections.abc import Sequence

from f3rm_core import METRICS, Metric
from sweeps.errors import Issue
from sweeps.spec.documents import suggestion

MAX_OBJECTIVES = 4


def objectives_of(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of a checked list of names, in the order given."""
    return tuple(METRICS[name] for name in names)


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
