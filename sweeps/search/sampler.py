"""What to try next: Optuna's samplers over our space, seeded so that a proposal depends only on what is known."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning

from sweeps.search.history import Goal
from sweeps.spec.space import CategoricalDimension, Dimension, FloatDimension, IntDimension, is_active, ordered
from sweeps.spec.sweep import Sampler

STARTUP_TRIALS = 10
"""Random trials before a sampler has a model, at most; a small sweep gives a third of its trials to them."""

LEARNING = frozenset(("tpe", "gp", "nsga2"))
"""Samplers that learn from results."""

_GP_DIMENSIONS = 20
_GP_TRIALS = 400


def choose_sampler(goal: Goal) -> tuple[Sampler, str]:
    """What `auto` takes, and why, one line."""
    if len(goal.rungs) > 1 and len(goal.space) <= _GP_DIMENSIONS:
        return "model", "it learns from every rung, and chooses what starts and what goes on"
    conditional = sorted(name for name, dimension in goal.space.items() if dimension.when)
    if conditional:
        return "tpe", f"{conditional[0]} is conditional, and of the samplers for one rung TPE keeps conditions best"
    if len(goal.space) > _GP_DIMENSIONS:
        return "tpe", f"{len(goal.space)} parameters vary: too many for a Gaussian process"
    if goal.trials > _GP_TRIALS:
        return "tpe", f"{goal.trials} trials: a Gaussian process slows down with the cube of their number"
    return "gp", "a Gaussian process needs the fewest trials where they are dear"


def make_sampler(
    name: Sampler, goal: Goal, number: int, *, attempt: int = 0, proposed: int = 0
) -> optuna.samplers.BaseSampler:
    """The sampler that proposes trial `number`.

    Built anew for each trial from the sweep's seed and the trial's number: a restarted driver then proposes what the
    first would have, and never repeats the random trials of the beginning.

    Args:
        name: which; not `auto`.
        goal: of the sweep.
        number: the trial to propose.
        attempt: proposals for it that were turned down.
        proposed: rows of the study so far; places the proposal in a sequence.
    """
    digest = hashlib.sha256(f"sampler:{goal.seed}:{number}:{attempt}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    startup = min(STARTUP_TRIALS, max(4, goal.trials // 3))
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "tpe":
            conditional = any(dimension.when for dimension in goal.space.values())
            # Trials that run in parallel count, so that they are not proposed twice.
            return samplers.TPESampler(
                multivariate=True, group=conditional, n_startup_trials=startup, seed=seed, constant_liar=True
            )
        if name == "gp":
            return samplers.GPSampler(n_startup_trials=startup, seed=seed, warn_independent_sampling=False)
        if name == "nsga2":
            return samplers.NSGAIISampler(population_size=min(50, max(4, goal.trials // 5)), seed=seed)
        if name == "qmc":
            return _Sequence(goal.seed, max(0, proposed - 1))  # the first proposal of all is by chance
        return samplers.RandomSampler(seed=seed)


class _Sequence(optuna.samplers.QMCSampler):
    """One sequence for the sweep, by its seed. Optuna counts the points taken in an attribute of the study."""

    def __init__(self, seed: int, index: int) -> None:
        super().__init__(scramble=True, seed=seed, warn_asynchronous_seeding=False, warn_independent_sampling=False)
        self._index = index

    def _find_sample_id(self, study: optuna.Study, search_space: Mapping[str, Any]) -> int:
        return self._index


def suggest(trial: optuna.Trial, space: Mapping[str, Dimension], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the space's active dimensions.

    Args:
        trial: Optuna's open trial; a value that it has already is kept.
        space: parameter name -> dimension.
        fixed: values of the parameters that do not vary, for conditions.
    """
    sampled: dict[str, Any] = {}
    for name in ordered(space):
        dimension = space[name]
        if not is_active(dimension, {**fixed, **sampled}):
            continue
        if isinstance(dimension, FloatDimension):
            sampled[name] = trial.suggest_float(
                name, dimension.low, dimension.high, log=dimension.log, step=dimension.step
            )
        elif isinstance(dimension, IntDimension):
            sampled[name] = trial.suggest_int(
                name, dimension.low, dimension.high, log=dimension.log, step=dimension.step or 1
            )
        else:
            label = trial.suggest_categorical(name, [_label(choice) for choice in dimension.choices])
            sampled[name] = _choice(dimension, label)
    return sampled


def distributions(space: Mapping[str, Dimension], names: Mapping[str, Any]) -> dict[str, Any]:
    """Optuna's distributions of the dimensions named."""
    found: dict[str, Any] = {}
    for name in names:
        dimension = space[name]
        if isinstance(dimension, FloatDimension):
            found[name] = optuna.distributions.FloatDistribution(
                dimension.low, dimension.high, log=dimension.log, step=dimension.step
            )
        elif isinstance(dimension, IntDimension):
            found[name] = optuna.distributions.IntDistribution(
                dimension.low, dimension.high, log=dimension.log, step=dimension.step or 1
            )
        else:
            labels = [_label(choice) for choice in dimension.choices]
            found[name] = optuna.distributions.CategoricalDistribution(labels)
    return found


def labels(space: Mapping[str, Dimension], sampled: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Optuna shows them: a list of numbers becomes a text."""
    return {
        name: _label(value) if isinstance(space[name], CategoricalDimension) else value
        for name, value in sampled.items()
    }


def chosen(space: Mapping[str, Dimension], shown: Mapping[str, Any]) -> dict[str, Any]:
    """Values from what Optuna shows: the inverse of `labels`."""
    return {
        name: _choice(dimension, value) if isinstance(dimension := space[name], CategoricalDimension) else value
        for name, value in shown.items()
    }


def _label(choice: Any) -> Any:
    # Optuna's choices are scalars.
    return json.dumps(choice) if isinstance(choice, list | tuple) else choice


def _choice(dimension: CategoricalDimension, label: Any) -> Any:
    # Compared with the type: Python's 1 == True is not ours.
    same = [choice for choice in dimension.choices if type(_label(choice)) is type(label) and _label(choice) == label]
    return same[0]
