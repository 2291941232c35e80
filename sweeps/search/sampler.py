"""What to try next: Optuna's samplers over our space, seeded so that a proposal depends only on what is known."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning

from sweeps.spec.space import CategoricalDimension, Dimension, FloatDimension, IntDimension, is_active, ordered
from sweeps.spec.sweep import Search

STARTUP_TRIALS = 10
"""Random trials before TPE has a model, at most; a small sweep gives a third of its trials to them."""


def make_sampler(search: Search, *, number: int, planned: int, conditional: bool) -> optuna.samplers.BaseSampler:
    """The sampler that proposes trial `number`.

    Built anew for each trial from the sweep's seed and the trial's number: a restarted driver then proposes what the
    first would have, and never repeats the random trials of the beginning.

    Args:
        search: the sweep's choice.
        number: the trial to propose.
        planned: trials of the sweep.
        conditional: whether the space has conditions.
    """
    digest = hashlib.sha256(f"sampler:{search.seed}:{number}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.samplers.TPESampler(
            multivariate=True,
            group=conditional,
            n_startup_trials=min(STARTUP_TRIALS, max(4, planned // 3)),
            seed=seed,
            constant_liar=True,  # trials that run in parallel count, so that they are not proposed twice
        )


def repeat_values(space: Mapping[str, Dimension], values: Mapping[str, Any]) -> optuna.samplers.BaseSampler:
    """A sampler that proposes given values, and nothing else.

    Args:
        space: the dimensions of those values.
        values: one for each dimension.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(labels(space, values), optuna.samplers.RandomSampler(seed=0))


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


def _label(choice: Any) -> Any:
    # Optuna's choices are scalars.
    return json.dumps(choice) if isinstance(choice, list | tuple) else choice


def _choice(dimension: CategoricalDimension, label: Any) -> Any:
    # Compared with the type: Python's 1 == True is not ours.
    same = [choice for choice in dimension.choices if type(_label(choice)) is type(label) and _label(choice) == label]
    return same[0]
