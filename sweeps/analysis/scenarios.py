"""Which point of the front wins, and why. A scenario is one way to weigh the objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from f3rm_core import METRICS, Metric
from sweeps.analysis.pareto import front_of, places, skyband, table
from sweeps.analysis.repeats import Repeats
from sweeps.analysis.units import in_units
from sweeps.errors import NoResults, UnknownScenario
from sweeps.spec.objectives import is_feasible

Results = Mapping[int, Mapping[str, float]]
"""Trial number -> metric -> value."""

KEPT_QUALITY = 0.75
"""Of the best that any trial's weakest quality objective reaches, so much must be kept by the cheapest one."""

COSTS = ("train_seconds", "render_seconds", "peak_memory_gb")
_ALONE = "is the only point on the front"
_NO_LIMITS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Candidates:
    """The points that a scenario chooses from: the feasible front of the objectives and of what it looks at.

    Args:
        numbers: of the trials.
        objectives: of the sweep.
        aims: what the scenario looks at beside them.
        values: metric -> values. [points]
        places: metric -> 0, the worst of the front, to 1, the best. [points]
    """

    numbers: Sequence[int]
    objectives: Sequence[Metric]
    aims: Sequence[Metric]
    values: Mapping[str, NDArray[np.float64]]
    places: Mapping[str, NDArray[np.float64]]

    def weakest(self, metrics: Sequence[Metric]) -> NDArray[np.float64]:
        """The lowest place of each point among these metrics; 1 where there are none. [points]"""
        return np.array([self.places[metric.name] for metric in metrics] or [np.ones(len(self.numbers))]).min(axis=0)

    def total(self) -> NDArray[np.float64]:
        """The sum of each point's places in the objectives. [points]"""
        return np.sum([self.places[metric.name] for metric in self.objectives], axis=0)

    def shown(self, point: int, metrics: Sequence[Metric]) -> str:
        """A point's values with their units."""
        return ", ".join(f"{m.name} {in_units(m, self.values[m.name][point])}" for m in metrics)


Order = tuple[list[int], str]
"""Points of the candidates, the winner first, then the next; and why the first one wins."""


@dataclass(frozen=True)
class Scenario:
    """One way to choose.

    Args:
        name: its name.
        summary: the rule, one line.
        order: who wins.
        looks_at: metrics; it looks at the first one that trials have.
    """

    name: str
    summary: str
    order: Callable[[Candidates], Order]
    looks_at: tuple[str, ...] = ()


@dataclass(frozen=True)
class Winner:
    """The point that a scenario chooses.

    Args:
        scenario: its name.
        number: the trial.
        runner_up: the trial that the scenario would choose without this one.
        decided_by: metrics in which the two are to be compared.
        scores: objective -> 0 (worst on the front) to 1 (best on the front).
        reason: why, in words.
        repeats: what other seeds say; None where no configuration ran under more than one.
    """

    scenario: str
    number: int
    runner_up: int | None
    decided_by: tuple[Metric, ...]
    scores: Mapping[str, float]
    reason: str
    repeats: Repeats | None = None


def choose(
    scenario: str, objectives: Sequence[Metric], results: Results, constraints: Mapping[str, float] = _NO_LIMITS
) -> Winner:
    """The winner of a scenario.

    Args:
        scenario: one of SCENARIOS.
        objectives: with their directions.
        results: of completed trials.
        constraints: metric -> limit; a trial beyond one can't win.

    Raises:
        UnknownScenario: not defined.
        NoResults: no trial has all objectives, keeps the constraints, and has what the scenario looks at.
    """
    if scenario not in SCENARIOS:
        raise UnknownScenario(f"scenario={scenario!r}: not defined; give one of {', '.join(SCENARIOS)}")
    rule = SCENARIOS[scenario]
    feasible = _feasible(objectives, results, constraints)
    aims = _aims(rule, feasible)
    looked_at = _looked_at(objectives, aims)
    front = front_of(looked_at, feasible)
    numbers, values = table(looked_at, {number: feasible[number] for number in front})
    scaled = places(values, [metric.direction for metric in looked_at])
    names = [metric.name for metric in looked_at]
    candidates = Candidates(
        numbers,
        objectives,
        aims,
        dict(zip(names, values.T, strict=True)),
        dict(zip(names, scaled.T, strict=True)),
    )
    order, reason = rule.order(candidates)
    return Winner(
        scenario,
        numbers[order[0]],
        numbers[order[1]] if len(order) > 1 else None,
        tuple(aims) or tuple(objectives),
        {objective.name: float(candidates.places[objective.name][order[0]]) for objective in objectives},
        reason,
    )


def contenders(
    objectives: Sequence[Metric], results: Results, constraints: Mapping[str, float] = _NO_LIMITS, *, spare: int = 0
) -> set[int]:
    """Trials that win a scenario or can come to: nothing that joins later lets another one win.

    Args:
        objectives: with their directions.
        results: of completed trials.
        constraints: metric -> limit; a trial beyond one can't win.
        spare: so many of the results may still turn out worse, as seeds are added to them.
    """
    feasible = {number: metrics for number, metrics in results.items() if is_feasible(constraints, metrics)}
    fronts = {
        tuple(_looked_at(objectives, aims)) for rule in SCENARIOS.values() if (aims := _had(rule, feasible)) is not None
    }
    found: set[int] = set()
    for metrics in fronts:
        numbers, values = table(metrics, feasible)
        inside = skyband(values, [metric.direction for metric in metrics], spare)
        found |= {number for number, is_inside in zip(numbers, inside, strict=True) if is_inside}
    return found


def _looked_at(objectives: Sequence[Metric], aims: Sequence[Metric]) -> list[Metric]:
    return [*objectives, *(aim for aim in aims if aim not in objectives)]


def _feasible(objectives: Sequence[Metric], results: Results, constraints: Mapping[str, float]) -> Results:
    numbers, _ = table(objectives, results)
    if not numbers:
        raise NoResults("no trial has completed, so none can win; `f3rm-sweeps show` tells what became of each")
    found = {number: results[number] for number in numbers if is_feasible(constraints, results[number])}
    if not found:
        limits = "; ".join(_best_of(name, limit, results) for name, limit in constraints.items())
        raise NoResults(f"none of {len(numbers)} completed trials keeps the constraints, so none can win: {limits}")
    return found


def _best_of(name: str, limit: float, results: Results) -> str:
    """A limit, and how near to it the results come."""
    metric = METRICS[name]
    up = metric.direction == "maximize"
    measured = [metrics[name] for metrics in results.values() if name in metrics]
    best = f"the best has {in_units(metric, (max if up else min)(measured))}" if measured else "no trial measured it"
    return f"{name} at {'least' if up else 'most'} {in_units(metric, limit)} ({best})"


def _aims(rule: Scenario, results: Results) -> list[Metric]:
    """What the scenario looks at and the trials have."""
    if (aims := _had(rule, results)) is not None:
        return aims
    had = {name for metrics in results.values() for name in metrics}
    raise NoResults(
        f"scenario {rule.name} needs {' or '.join(rule.looks_at)}, which no completed trial has; they have "
        f"{', '.join(sorted(had))}"
    )


def _had(rule: Scenario, results: Results) -> list[Metric] | None:
    """The first of what the scenario looks at that trials have; None where they have none of it."""
    found = (METRICS[name] for name in rule.looks_at if any(name in metrics for metrics in results.values()))
    aim = next(found, None)
    return [aim] if aim is not None else None if rule.looks_at else []


def _balanced(found: Candidates) -> Order:
    """The largest minimum; of equals the larger sum, then the earlier trial."""
    weakest, total = found.weakest(found.objectives), found.total()
    order = sorted(range(len(found.numbers)), key=lambda i: (-weakest[i], -total[i], found.numbers[i]))
    return order, _balanced_reason(found, order[0])


def _balanced_reason(found: Candidates, best: int) -> str:
    trial = f"Trial {found.numbers[best]}"
    shown = found.shown(best, found.objectives)
    if len(found.numbers) == 1:
        return f"{trial} ({shown}): no other is better in any objective."
    if len(found.objectives) == 1:
        equals = len(found.numbers)
        return f"{trial} has the best {found.objectives[0].name}: {shown}; the first of {equals} equals."
    low = min(found.objectives, key=lambda metric: found.places[metric.name][best])
    ranges = "; ".join(
        f"{m.name} {in_units(m, found.values[m.name].min())} to {in_units(m, found.values[m.name].max())}"
        for m in found.objectives
    )
    return (
        f"{trial} ({shown}): of {len(found.numbers)} points on the front its weakest objective, {low.name}, is the "
        f"least weak, at {found.places[low.name][best]:.0%} of the way from the worst to the best on the front "
        f"({ranges})."
    )


def _best_in_aim(found: Candidates) -> Order:
    """The best in what the scenario looks at; of equals the larger sum over the objectives, then the earlier trial."""
    (aim,) = found.aims
    place, total = found.places[aim.name], found.total()
    order = sorted(range(len(found.numbers)), key=lambda i: (-place[i], -total[i], found.numbers[i]))
    best = order[0]
    others = [metric for metric in found.objectives if metric != aim]
    beside = f", with {found.shown(best, others)}" if others else ""
    what = f"has the best {aim.name} of {len(order)} points on the front," if len(order) > 1 else f"{_ALONE}:"
    return order, f"Trial {found.numbers[best]} {what} {found.shown(best, [aim])}{beside}.{_next(found, order)}"


def _cheapest_of_the_good(found: Candidates) -> Order:
    """The least cost among the points that keep enough quality; of equals the better quality, then the earlier trial.

    Enough is KEPT_QUALITY of the best that any point's weakest quality objective reaches. A fixed share of the range
    would leave nobody where objectives pull apart, or let a poor point in where they do not.
    """
    (aim,) = found.aims
    quality = [metric for metric in found.objectives if metric.name not in COSTS]
    weakest = found.weakest(quality)
    enough = KEPT_QUALITY * weakest.max() - 1e-12
    order = sorted(
        (i for i in range(len(found.numbers)) if weakest[i] >= enough),
        key=lambda i: (found.values[aim.name][i], -weakest[i], found.numbers[i]),
    )
    best = order[0]
    others = [metric for metric in found.objectives if metric != aim]
    beside = f", with {found.shown(best, others)}" if others else ""
    rule = ""
    if quality and len(found.numbers) > 1:
        top = int(weakest.argmax())
        objective = quality[0].name if len(quality) == 1 else f"the weakest of {_names(quality)}"
        have = "has" if len(order) == 1 else "have"
        rule = (
            f" that {have} {objective} at {max(enough, 0.0):.0%} or more of the way from the worst to the best on the "
            f"front ({KEPT_QUALITY:.0%} of what trial {found.numbers[top]} reaches)"
        )
    what = (
        f"{_ALONE}{rule}" if len(order) == 1 else f"has the least {aim.name} of {len(order)} points on the front{rule}"
    )
    return order, f"Trial {found.numbers[best]} {what}: {found.shown(best, [aim])}{beside}.{_next(found, order)}"


def _next(found: Candidates, order: Sequence[int]) -> str:
    if len(order) < 2:
        return ""
    return f" Next: trial {found.numbers[order[1]]}, {found.shown(order[1], found.aims)}."


def _names(metrics: Sequence[Metric]) -> str:
    names = [metric.name for metric in metrics]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_ALL = (
    Scenario(
        "balanced",
        "the point on the front whose worst objective is best, each scaled between the worst and the best on the front",
        _balanced,
    ),
    Scenario(
        "quick",
        "the least train_seconds among points that keep three quarters of the best-balanced quality",
        _cheapest_of_the_good,
        looks_at=("train_seconds",),
    ),
    Scenario("quality", "the best psnr", _best_in_aim, looks_at=("psnr",)),
    Scenario(
        "memory",
        "the least peak_memory_gb among points that keep three quarters of the best-balanced quality",
        _cheapest_of_the_good,
        looks_at=("peak_memory_gb",),
    ),
    Scenario(
        "language",
        "the best features: feature_gain, or feature_cosine where trials lack it",
        _best_in_aim,
        looks_at=("feature_gain", "feature_cosine"),
    ),
)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType({scenario.name: scenario for scenario in _ALL})
"""Name -> scenario, the default first."""
