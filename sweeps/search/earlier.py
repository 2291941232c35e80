"""What earlier sweeps tell a new one: where to look first, and, on the same scene, what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.analysis.pareto import front_of, order, table
from sweeps.search.history import RungResult, TrialHistory
from sweeps.spec.space import contains
from sweeps.spec.sweep import Plan
from sweeps.spec.warm_start import point_in
from sweeps.store.database import Database
from sweeps.store.records import SweepRecord, TrialRecord
from sweeps.store.repository import Repository

EARLIER = -1
"""Number of a trial that is not of this sweep."""


@dataclass(frozen=True)
class Earlier:
    """What a sweep starts from.

    Args:
        points: of its space, to be trained first: the winners of earlier sweeps.
        results: trials of the same training on the same scene, for the sampler to learn from.
    """

    points: tuple[Mapping[str, Any], ...] = ()
    results: tuple[TrialHistory, ...] = ()


def earlier_trials(database: Database, plan: Plan) -> Earlier:
    """What the sweeps of the warm start tell.

    Winners are the front of each sweep, best first, at most a quarter of this sweep's trials. Another scene's results
    say where to look and nothing more; those of the same scene count as measured where nothing but the space's
    parameters differs.

    Raises:
        UnknownSweep: there is no such sweep.
    """
    repository = Repository(database)
    points: list[Mapping[str, Any]] = []
    results: list[TrialHistory] = []
    for sweep_id in plan.spec.search.warm_start.sweeps:
        sweep = repository.find_sweep(sweep_id)
        completed = {trial.number: trial for trial in repository.all_trials(sweep.id) if trial.state == "completed"}
        points += [
            point_in(plan.spec.space, plan.fixed, completed[number].configuration)
            for number in _winners(plan, completed)
        ]
        results += [known for trial in completed.values() if (known := _as_known(plan, sweep, trial)) is not None]
    return Earlier(tuple(points[: max(1, plan.spec.budget.trials // 4)]), tuple(results))


def _winners(plan: Plan, completed: Mapping[int, TrialRecord]) -> Sequence[int]:
    front = front_of(plan.objectives, {number: trial.metrics for number, trial in completed.items()})
    if not front:
        return []
    numbers, values = table(plan.objectives, {number: completed[number].metrics for number in front})
    directions = [objective.direction for objective in plan.objectives]
    return [numbers[i] for i in order(values, directions, [True] * len(numbers))]


def _as_known(plan: Plan, sweep: SweepRecord, trial: TrialRecord) -> TrialHistory | None:
    """A result that this sweep would have measured as well."""
    space, mine = plan.spec.space, json.loads(json.dumps(dict(plan.fixed)))  # as the store gives them: lists, no tuples
    same = sweep.spec["scene"] == plan.spec.scene and all(
        trial.configuration.get(name) == value for name, value in mine.items() if name not in (*space, "seed")
    )
    inside = all(contains(space[name], trial.configuration[name]) for name in space)
    if not same or not inside or any(objective.name not in trial.metrics for objective in plan.objectives):
        return None
    parameters = point_in(space, mine, trial.configuration)
    rung = RungResult(plan.budget_steps, trial.metrics, trial.metrics.get("train_seconds", 0.0))
    return TrialHistory(EARLIER, parameters, "completed", (rung,))
