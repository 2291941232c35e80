"""Which parameters decided how good trials were: PED-ANOVA by Optuna, over our own trials. Imports Optuna when used."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from f3rm_core import Metric

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST_TRIALS = 20
"""A quarter of these is 5: with fewer best trials PED-ANOVA is unstable, says Optuna."""
MOST_TRIALS = 500
"""Of more trials so many are looked at, evenly spaced by number: the answer takes about a second."""

_BEST_SHARE = 0.25
"""Of the trials, those called best. Of 6 parameters, one with three times the effect of the second, a quarter to a
third put it first in 87% of sweeps of 50 trials, Optuna's own tenth in 63%."""
_DRAWS = 40
_CHANCE_LEVEL = 0.95

FRONT = "front"
"""Stands for all objectives at once: which parameters decided whether a trial came near the front."""


@dataclass(frozen=True)
class Share:
    """One parameter's part in what decided.

    Args:
        parameter: its name.
        share: of the importance of all parameters.
        chance: what it reaches in 1 of 20 cases where it decides nothing: where the best trials are drawn by lot.
    """

    parameter: str
    share: float
    chance: float

    @property
    def beyond_chance(self) -> bool:
        return self.share > self.chance


@dataclass(frozen=True)
class Importance:
    """Importance of the parameters of a sweep.

    Args:
        trials: completed trials that it rests on.
        best: how many of them are compared with all.
        shares: objective (with several, also FRONT) -> its parameters, the most important first; the shares add up to
            1, or all are 0 where the best trials have the same values as the others. Empty for too few trials.
        note: what it rests on, or why there is none, one line.
    """

    trials: int
    best: int
    shares: Mapping[str, Sequence[Share]]
    note: str


def importance(
    objectives: Sequence[Metric],
    parameters: Mapping[int, Mapping[str, Any]],
    results: Mapping[int, Mapping[str, float]],
    distributions: Mapping[str, BaseDistribution],
) -> Importance:
    """How far each parameter's values in the best quarter of the trials differ from those in all trials.

    Measured against where the sampler went, not against the whole range: that a sampler likes a region makes it no
    more important. A parameter that depends on another one counts in the trials where it was active.

    Source: Watanabe et al. 2023 (PED-ANOVA); its form for conditional parameters as in Optuna 5.

    Args:
        objectives: with their directions.
        parameters: trial number -> parameter -> value, as Optuna has it (`sweeps.search.sampler.labels`).
        results: trial number -> metric -> value.
        distributions: parameter -> Optuna's distribution.
    """
    numbers = [number for number in sorted(results) if all(o.name in results[number] for o in objectives)]
    if len(numbers) < FEWEST_TRIALS:
        few = f"importance needs at least {FEWEST_TRIALS} completed trials; there are {len(numbers)}"
        return Importance(len(numbers), 0, {}, few)
    of = "" if len(numbers) <= MOST_TRIALS else f" of {len(numbers)}"
    numbers = [numbers[i] for i in np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_TRIALS)).round().astype(int)]
    best = math.ceil(_BEST_SHARE * len(numbers))
    raw = _pearson_divergences(objectives, numbers, parameters, results, distributions)
    shares = {}
    for target, found in raw.measured.items():
        total = sum(found.values()) or 1.0
        ranked = sorted((name for name in distributions if name in found), key=found.__getitem__, reverse=True)
        shares[target] = tuple(Share(name, found[name] / total, min(1.0, raw.chance[name] / total)) for name in ranked)
    note = f"PED-ANOVA over {len(numbers)}{of} completed trials: how the best {best} differ from all"
    return Importance(len(numbers), best, shares, note)


@dataclass(frozen=True)
class _Divergences:
    measured: Mapping[str, Mapping[str, float]]
    chance: Mapping[str, float]


def _pearson_divergences(
    objectives: Sequence[Metric],
    numbers: Sequence[int],
    parameters: Mapping[int, Mapping[str, Any]],
    results: Mapping[int, Mapping[str, float]],
    distributions: Mapping[str, BaseDistribution],
) -> _Divergences:
    """Optuna's figures for each objective, and what chance gives to each parameter: the same for all objectives."""
    import optuna

    study = _study(objectives)
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(parameters[number]),
                distributions={name: distributions[name] for name in parameters[number]},
                values=[results[number][objective.name] for objective in objectives],
            )
            for number in numbers
        ]
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_BEST_SHARE)

    def evaluate(targets: Sequence[float] | None) -> dict[str, float]:
        """For a value of each trial, less being better; None: for the objectives together."""
        if targets is None:
            return evaluator.evaluate(study)
        return evaluator.evaluate(study, target=lambda trial: float(targets[trial.number]))

    random = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it minimises (seen to here), and that it is experimental
        measured = {}
        for objective in objectives:
            sign = -1.0 if objective.direction == "maximize" else 1.0
            measured[objective.name] = evaluate([sign * results[number][objective.name] for number in numbers])
        if len(objectives) > 1:
            measured[FRONT] = evaluate(None)
        drawn = []
        for _ in range(_DRAWS):
            drawn.append(evaluate(list(random.permutation(len(numbers)))))
    chance = {name: float(np.quantile([draw[name] for draw in drawn], _CHANCE_LEVEL)) for name in drawn[0]}
    return _Divergences(measured, chance)


def _study(objectives: Sequence[Metric]) -> Any:
    """An empty study in memory; Optuna's message to the terminal that there is one is held back."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(directions=[objective.direction for objective in objectives])
    finally:
        optuna.logging.set_verbosity(before)
