"""What Optuna's samplers learn from: our history at one rung, as a study in memory.

Optuna's own record counts full trainings alone. A sampler that waited for them would learn late; one that mixed rungs
would take a short training for a bad one. So it sees the highest rung at which there are enough results to fit a model,
with the values measured there, also for trials that have trained on since. Source: Falkner et al. 2018 (BOHB), section
3.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.analysis.pareto import costs, non_dominated
from sweeps.search.history import OPEN, Goal, RungResult, TrialHistory
from sweeps.search.sampler import LEARNING, distributions, labels

MOST_RESULTS: Mapping[str, int] = {"tpe": 1000, "nsga2": 2000, "gp": 128}
"""A sampler sees at most so many results, the front and the newest, and a quarter as many failures and open trials
each, the newest: this bounds the time of a proposal. `python -m benchmarks.scale --proposals` measures it."""

_LEARNED_FROM = frozenset(("oom", "diverged", "timeout", "invalid"))
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


def study_for(
    sampler: optuna.samplers.BaseSampler, name: str, goal: Goal, history: Sequence[TrialHistory]
) -> optuna.Study:
    """A study in memory in which the sampler proposes: it knows what the sampler may learn from, and no more.

    Args:
        sampler: one of Optuna's.
        name: which.
        goal: of the sweep.
        history: every trial so far.
    """
    directions = [objective.direction for objective in goal.objectives]
    study = optuna.create_study(directions=directions, sampler=sampler)
    if name in LEARNING:
        study.add_trials(_known(sampler, name, goal, history))
    elif name == "qmc" and history:  # takes the space from a row that is there
        study.add_trial(_row(goal, history[0], TrialState.RUNNING, None, None))
    return study


def rung_to_learn_from(goal: Goal, history: Sequence[TrialHistory]) -> int:
    """The highest rung with more results than parameters vary; the lowest where none has so many."""
    enough = len(goal.space) + 2
    for step in reversed(goal.rungs):
        if sum(_result(trial, step) is not None for trial in history) >= enough:
            return step
    return goal.rungs[0]


def _known(
    sampler: optuna.samplers.BaseSampler, name: str, goal: Goal, history: Sequence[TrialHistory]
) -> list[FrozenTrial]:
    """Results at the rung to learn from, failures and open trials: no more than MOST_RESULTS says."""
    step = rung_to_learn_from(goal, history)
    most = MOST_RESULTS[name]
    measured = [(trial, result) for trial in history if (result := _result(trial, step)) is not None]
    failed = [trial for trial in history if trial.state == "failed" and is_learned_from(trial.failure_reason)]
    is_open = [trial for trial in history if trial.state in OPEN and _result(trial, step) is None]
    values = np.array([[result.metrics[o.name] for o in goal.objectives] for _, result in measured])
    if len(measured) > most:
        kept = _front_and_newest(values, [o.direction for o in goal.objectives], most)
        measured, values = [measured[i] for i in kept], values[kept]
    rows = [
        _row(goal, trial, TrialState.COMPLETE, row.tolist(), constraint_values(goal, result.metrics))
        for (trial, result), row in zip(measured, values, strict=True)
    ]
    rows += _failed_rows(name, goal, failed[-(most // 4) :], values, [row.constraints for row in rows])
    if name == "nsga2":
        _number_generations(sampler, rows)
    return rows + [_row(goal, trial, TrialState.RUNNING, None, None) for trial in is_open[-(most // 4) :]]


def _failed_rows(
    name: str,
    goal: Goal,
    failed: Sequence[TrialHistory],
    values: NDArray[np.float64],  # [results, objectives]
    seen: Sequence[Mapping[str, float]],
) -> list[FrozenTrial]:
    """Failures as a sampler learns them. TPE counts a pruned trial as bad; the others see finished ones alone, for
    which the worst values seen stand: worse ones would bend a Gaussian process, and none at all lets it come back."""
    state, worst = TrialState.PRUNED, None
    if name != "tpe" and len(values):
        directions = [objective.direction for objective in goal.objectives]
        turned = costs(values, directions).max(axis=0, keepdims=True)
        state, worst = TrialState.COMPLETE, costs(turned, directions)[0].tolist()
    broken = {key: max((one[key] for one in seen), default=1.0) for key in goal.constraints}
    return [
        _row(goal, trial, state, worst, {**broken, _OUT_OF_MEMORY: 1.0 if trial.failure_reason == "oom" else -1.0})
        for trial in failed
    ]


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
) -> NDArray[np.int64]:
    """Which results to keep, in their order."""
    on_front = non_dominated(values, directions)
    front, rest = np.flatnonzero(on_front)[-most:], np.flatnonzero(~on_front)
    return np.sort(np.concatenate([front, rest[max(0, len(rest) - (most - len(front))) :]]))


def _number_generations(sampler: optuna.samplers.BaseSampler, rows: Sequence[FrozenTrial]) -> None:
    """NSGA-II finds parents by a note on each finished trial, which a study made of our history lacks."""
    assert isinstance(sampler, optuna.samplers.NSGAIISampler)
    assert sampler.population_size is not None
    for index, row in enumerate(row for row in rows if row.state == TrialState.COMPLETE):
        row.system_attrs[sampler._get_generation_key()] = index // sampler.population_size
