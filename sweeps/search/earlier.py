"""What earlier sweeps tell a new one: where to look first, and, on the same scene, what was measured."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from f3rm_core import scene_digest
from sweeps.analysis.pareto import front_of, order, table
from sweeps.analysis.provenance import SCENE_DIGEST
from sweeps.errors import UnknownSweep
from sweeps.search.history import TrialHistory, recall
from sweeps.spec.memory import backend_of
from sweeps.spec.objectives import is_feasible
from sweeps.spec.presets import value_of
from sweeps.spec.sweep import Plan
from sweeps.spec.warm_start import point_in
from sweeps.store.database import Database
from sweeps.store.records import RungRecord, SweepRecord, TrialRecord
from sweeps.store.repository import Repository

log = logging.getLogger("sweeps.driver")

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


def earlier_trials(database: Database, plan: Plan, *, device: str) -> Earlier:
    """What the sweeps of the warm start tell.

    Winners are the front of each sweep's results that keep this sweep's constraints, best first, at most a quarter of
    this sweep's trials. Another scene's results say where to look and nothing more. Those of the same scene count as
    measured, with what they measured at this sweep's rungs, where this sweep would have measured the same: nothing but
    the space's parameters differs, and they ran on the same kind of device.

    Args:
        database: where the sweeps are.
        plan: this sweep's.
        device: what its trials run on, "cuda" or "cpu".

    A sweep that was deleted since tells nothing.

    Raises:
        SceneError: a file of the scene can't be read any more.
    """
    repository = Repository(database)
    points: list[Mapping[str, Any]] = []
    results: list[TrialHistory] = []
    for sweep_id in plan.spec.search.warm_start.sweeps:
        try:
            sweep = repository.find_sweep(sweep_id)
        except UnknownSweep as error:
            log.warning("nothing is learned from an earlier sweep: %s", error)
            continue
        trials = {trial.number: trial for trial in repository.all_trials(sweep.id)}
        points += [
            point_in(plan.space, plan.fixed, trials[number].configuration) for number in _winners(plan, trials.values())
        ]
        results += _known(repository, plan, sweep, trials, device)
    return Earlier(tuple(points[: max(1, plan.spec.budget.trials // 4)]), tuple(results))


def _winners(plan: Plan, trials: Iterable[TrialRecord]) -> Sequence[int]:
    found = {trial.number: trial.metrics for trial in trials if trial.state == "completed"}
    feasible = {n: metrics for n, metrics in found.items() if is_feasible(plan.spec.constraints, metrics)}
    front = front_of(plan.objectives, feasible)
    if not front:
        return []
    numbers, values = table(plan.objectives, {number: feasible[number] for number in front})
    directions = [objective.direction for objective in plan.objectives]
    return [numbers[i] for i in order(values, directions, [True] * len(numbers))]


def _known(
    repository: Repository, plan: Plan, sweep: SweepRecord, trials: Mapping[int, TrialRecord], device: str
) -> list[TrialHistory]:
    """Results that this sweep would have measured as well."""
    rungs: dict[int, list[RungRecord]] = defaultdict(list)
    for rung in repository.rungs(sweep.id):
        if rung.step in plan.rungs:
            rungs[rung.trial].append(rung)
    same = [trials[number] for number in sorted(rungs) if _is_same_training(plan, trials[number], device)]
    if not same or not _is_same_scene(repository, plan, sweep, (same[0], same[-1])):
        return []
    wanted = {*plan.spec.objectives, *plan.spec.constraints}
    known = []
    for trial in same:
        history = recall(trial, [rung for rung in rungs[trial.number] if wanted <= rung.metrics.keys()])
        if history.rungs:
            parameters = point_in(plan.space, plan.fixed, trial.configuration)
            state = "completed" if history.step == plan.budget_steps else "pruned"
            known.append(replace(history, number=EARLIER, parameters=parameters, state=state, running_to=None))
    return known


def _is_same_training(plan: Plan, trial: TrialRecord, device: str) -> bool:
    """Whether this sweep's trial of the same point would be this one, but for its seed."""
    mine = plan.configuration(point_in(plan.space, plan.fixed, trial.configuration), 0)
    mine = json.loads(json.dumps(mine))  # as the store gives them: lists, no tuples
    return (
        trial.state != "failed"
        and (trial.device, trial.backend) == (device, backend_of(mine, device))
        and all(
            value_of(trial.configuration, name) == value_of(mine, name)
            for name in mine.keys() | trial.configuration.keys()
            if name != "seed"
        )
    )


def _is_same_scene(
    repository: Repository, plan: Plan, sweep: SweepRecord, ends: tuple[TrialRecord, TrialRecord]
) -> bool:
    """Whether an earlier sweep's first and last trial saw what is now under the scene's name."""
    if sweep.spec["scene"] != plan.spec.scene:
        return False
    noted = {
        attempt.environment.get(SCENE_DIGEST)
        for trial in ends
        for attempt in repository.attempts(sweep.id, trial.number)
    }
    return noted <= {None, scene_digest(plan.scene)}  # nothing is noted where a worker died early
