"""What Optuna's samplers learn from: our history at one rung, as a study in memory.

Optuna's own record counts full trainings alone. A sampler that waited for them would learn late; one that mixed rungs
would take a short training for a bad one. So it sees the highest rung at which there are enough results to fit a model,
with the values measured there, also for trials that have trained on since. Source: Falkner et al. 2018 (BOHB), section
3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.analysis.pareto import costs, non_dominated
from sweeps.search.history import OPEN, Goal, RungResult, TrialHistory
from sweeps.search.sampler import LEARNING, distributions, labels

MOST_RESULTS: Mapping[str, int] = {"tpe": 1000, "nsga2": 2000, "gp": 200}
"""A sampler sees at most so many results, the front and the newest, which bounds the time of a proposal."""

_LEARNED_FROM = frozenset(("oom", "diverged", "invalid"))
_OUT_OF_MEMORY = "out_of_memory"
_MEMORY = "peak_memory_gb"


def is_learned_from(failure_reason: str | None) -> bool:
    """Whether a failure says something about the configuration."""
    return failure_reason in _LEARNED_FROM


def constraint_values(goal: Goal, metrics: Mapping[str, float], *, out_of_memory: bool = False) -> dict[str, float]:
    """Optuna's constraints of a trial: name -> at most 0 where it is kept; relative to the limit.

    A trial that ran out of memory has no metrics: it breaks the limit on memory, and one of its own where none is set.
    """
    values = {name: goal.excess(name, metrics) for name in goal.constraints if name in metrics}
    if out_of_memory and _MEMORY in goal.constraints:
        values[_MEMORY] = 1.0
    return {**values, _OUT_OF_MEMORY: 1.0 if out_of_memory else -1.0}


class AtRung(optuna.samplers.BaseSampler):
    """A sampler that sees our history at the best rung to learn from, and not the study that asks it.

    Args:
        sampler: one of Optuna's that learns.
        name: which.
        goal: of the sweep.
        history: every trial so far.
    """

    def __init__(
        self, sampler: optuna.samplers.BaseSampler, name: str, goal: Goal, history: Sequence[TrialHistory]
    ) -> None:
        self._sampler = sampler
        self._view = _view(sampler, name, goal, history)
        # Samplers note things on the trial that they propose; this one stands for it in the view.
        storage = self._view._storage
        self._trial = storage.get_trial(storage.create_new_trial(self._view._study_id))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """See BaseSampler."""
        return self._sampler.infer_relative_search_space(self._view, self._trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        """See BaseSampler."""
        return self._sampler.sample_relative(self._view, self._trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """See BaseSampler."""
        return self._sampler.sample_independent(self._view, self._trial, param_name, param_distribution)


def learning(
    sampler: optuna.samplers.BaseSampler, name: str, goal: Goal, history: Sequence[TrialHistory]
) -> optuna.samplers.BaseSampler:
    """The sampler with our history before its eyes, where it learns at all."""
    return AtRung(sampler, name, goal, history) if name in LEARNING else sampler


def rung_to_learn_from(goal: Goal, history: Sequence[TrialHistory]) -> int:
    """The highest rung with more results than parameters vary; the lowest where none has so many."""
    enough = len(goal.space) + 2
    for step in reversed(goal.rungs):
        if sum(_result(trial, step) is not None for trial in history) >= enough:
            return step
    return goal.rungs[0]


def _view(sampler: optuna.samplers.BaseSampler, name: str, goal: Goal, history: Sequence[TrialHistory]) -> optuna.Study:
    step = rung_to_learn_from(goal, history)
    measured = [(trial, result) for trial in history if (result := _result(trial, step)) is not None]
    failed = [trial for trial in history if trial.state == "failed" and is_learned_from(trial.failure_reason)]
    study = optuna.create_study(directions=[objective.direction for objective in goal.objectives], sampler=sampler)
    values = np.array([[result.metrics[o.name] for o in goal.objectives] for _, result in measured])
    most = MOST_RESULTS[name]
    kept = _front_and_newest(values, [o.direction for o in goal.objectives], most) if len(measured) > most else None
    rows = []
    for i, (trial, result) in enumerate(measured):
        if kept is None or kept[i]:
            constraints = constraint_values(goal, result.metrics)
            rows.append(_row(goal, trial, TrialState.COMPLETE, values[i].tolist(), constraints))
    for trial in failed[-most:]:
        rows.append(_failed_row(name, goal, trial, values, [row.constraints for row in rows]))
    if name == "nsga2":
        _number_generations(sampler, rows)
    known = {trial.number for trial, _ in measured}
    for trial in history:
        if trial.state in OPEN and trial.number not in known:
            rows.append(_row(goal, trial, TrialState.RUNNING, None, None))
    study.add_trials(row for row in rows if row is not None)
    return study


def _failed_row(
    name: str, goal: Goal, trial: TrialHistory, values: NDArray[np.float64], seen: Sequence[Mapping[str, float]]
) -> FrozenTrial:
    """A failure as a sampler learns it. TPE counts a pruned trial as bad; the others see finished ones alone, for which
    the worst values seen stand: worse ones would bend a Gaussian process, and none at all lets it come back."""
    constraints = {key: max((one[key] for one in seen), default=1.0) for key in goal.constraints}
    constraints[_OUT_OF_MEMORY] = 1.0 if trial.failure_reason == "oom" else -1.0
    if name == "tpe" or len(values) == 0:
        return _row(goal, trial, TrialState.PRUNED, None, constraints)
    directions = [objective.direction for objective in goal.objectives]
    worst = costs(costs(values, directions).max(axis=0, keepdims=True), directions)[0]
    return _row(goal, trial, TrialState.COMPLETE, worst.tolist(), constraints)


def _row(
    goal: Goal,
    trial: TrialHistory,
    state: TrialState,
    values: list[float] | None,
    constraints: Mapping[str, float] | None,
) -> FrozenTrial:
    return create_trial(
        state=state,
        params=labels(goal.space, trial.parameters),
        distributions=distributions(goal.space, trial.parameters),
        values=values,
        constraints=dict(constraints) if constraints is not None else None,
    )


def _result(trial: TrialHistory, step: int) -> RungResult | None:
    return next((rung for rung in trial.rungs if rung.step == step), None) if trial.state != "failed" else None


def _front_and_newest(
    values: NDArray[np.float64],  # [results, objectives]
    directions: Sequence[str],
    most: int,
) -> NDArray[np.bool_]:
    """Which results to keep. [results]"""
    kept = non_dominated(values, directions)
    for index in range(len(values) - 1, -1, -1):
        if kept.sum() >= most:
            break
        kept[index] = True
    return kept


def _number_generations(sampler: optuna.samplers.BaseSampler, rows: Sequence[FrozenTrial]) -> None:
    """NSGA-II finds parents by a note on each finished trial, which a study made of our history lacks."""
    assert isinstance(sampler, optuna.samplers.NSGAIISampler)
    assert sampler.population_size is not None
    for index, row in enumerate(row for row in rows if row.state == TrialState.COMPLETE):
        row.system_attrs[sampler._get_generation_key()] = index // sampler.population_size
