"""Configurations that ran under several seeds: mean, spread, and whether one's lead over another is more than noise."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from f3rm_core import Metric
from sweeps.analysis.units import in_units

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """A metric of one configuration over its seeds.

    Args:
        count: how many results.
        mean: their mean.
        sd: their sample standard deviation; None for one result.
    """

    count: int
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Difference:
    """How two configurations differ in a metric.

    Args:
        metric: the metric.
        better_by: by how much the first one's mean is better, in the metric's unit; negative where it is worse.
        low, high: the 95% interval of `better_by`.
    """

    metric: Metric
    better_by: float
    low: float
    high: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval excludes that they are equal."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        lead = "leads by" if self.better_by >= 0 else "is behind by"
        noise = "more than" if self.beyond_noise else "within"
        amount, half = in_units(self.metric, abs(self.better_by)), in_units(self.metric, (self.high - self.low) / 2)
        return f"{lead} {amount} in {self.metric.name}, {noise} the noise of ±{half}"


@dataclass(frozen=True)
class Repeats:
    """What seeds say of a winner.

    Args:
        trials: of its configuration, one for each seed.
        spreads: metric -> mean and spread over these.
        runner_up_trials: of the next best configuration; () where there is none.
        differences: from the next best, in the metrics that decide; () where one of the two ran under a single seed.
    """

    trials: tuple[int, ...]
    spreads: Mapping[str, Spread]
    runner_up_trials: tuple[int, ...]
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        """In words, one or two sentences."""
        if len(self.trials) == 1:
            return "Its configuration ran under one seed only: whether its lead is more than noise is not known."
        said = f"Figures are means of one configuration under {len(self.trials)} seeds (trials {_list(self.trials)})"
        said = f"{said}."
        if not self.runner_up_trials:
            return said
        next_best = f"trial {self.runner_up_trials[0]}"
        if len(self.runner_up_trials) == 1:
            return f"{said} The next best, {next_best}, ran under one seed: whether the lead is noise is not known."
        leads = "; ".join(map(str, self.differences))
        seeds = len(self.runner_up_trials)
        return f"{said} Against the next best, {next_best} ({seeds} seeds), it {leads} (Welch's t, {CONFIDENCE:.0%})."


def group_repeats(parameters: Mapping[int, Mapping[str, Any]], seeds: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    """Trials of the same configuration.

    Args:
        parameters: trial number -> what the sampler chose.
        seeds: trial number -> its training seed. A trial that repeats a seed too is the same training again, whose
            result says nothing about noise: it is left out.

    Returns:
        First trial of each configuration -> its trials, one for each seed, by number.
    """
    first: dict[str, int] = {}
    groups: dict[int, dict[int, int]] = {}  # first trial -> seed -> trial
    for number in sorted(parameters):
        key = json.dumps(parameters[number], sort_keys=True)
        groups.setdefault(first.setdefault(key, number), {}).setdefault(seeds[number], number)
    return {number: tuple(by_seed.values()) for number, by_seed in groups.items()}


def spreads(runs: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Mean and spread of each metric that all runs of a configuration have."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: _spread([run[name] for run in runs]) for name in names}


def mean_results(
    groups: Mapping[int, tuple[int, ...]], results: Mapping[int, Mapping[str, float]]
) -> dict[int, dict[str, float]]:
    """First trial of each configuration -> metric -> mean over its seeds: what a configuration competes with.

    Args:
        groups: from `group_repeats`.
        results: trial number -> metric -> value.
    """
    return {
        first: {name: spread.mean for name, spread in spreads([results[number] for number in trials]).items()}
        for first, trials in groups.items()
    }


def difference(metric: Metric, first: Spread, second: Spread) -> Difference:
    """How much better the first configuration is, with an interval for the noise of seeds.

    Welch's t: seeds of two configurations share nothing that could be paired, and their spreads may differ. The two
    must have two results each.

    Source: Welch 1947; degrees of freedom by Satterthwaite 1946.

    Raises:
        ValueError: one of them has a single result.
    """
    if first.sd is None or second.sd is None:
        raise ValueError(f"{metric.name}: the spread of one result is not known")
    better_by = (first.mean - second.mean) * (1 if metric.direction == "maximize" else -1)
    parts = [first.sd**2 / first.count, second.sd**2 / second.count]
    squared = sum(parts)
    if squared == 0:  # every seed gave the same
        return Difference(metric, better_by, better_by, better_by)
    shares = zip((part / squared for part in parts), (first.count, second.count), strict=True)
    freedom = 1 / sum(share**2 / (count - 1) for share, count in shares)
    half = _t_quantile((1 + CONFIDENCE) / 2, freedom) * math.sqrt(squared)
    return Difference(metric, better_by, better_by - half, better_by + half)


def repeats_of(
    winner: int,
    runner_up: int | None,
    groups: Mapping[int, tuple[int, ...]],
    results: Mapping[int, Mapping[str, float]],
    decided_by: Sequence[Metric],
) -> Repeats | None:
    """What seeds say of a winner and of its lead over the next best.

    Args:
        winner, runner_up: the first trials of their configurations.
        groups: from `group_repeats`.
        results: trial number -> metric -> value.
        decided_by: the metrics to compare the two in.

    Returns:
        None where no configuration ran under more than one seed.
    """
    if all(len(trials) == 1 for trials in groups.values()):
        return None
    trials = groups[winner]
    others = groups[runner_up] if runner_up is not None else ()
    own = spreads([results[number] for number in trials])
    if len(trials) == 1 or len(others) < 2:
        return Repeats(trials, own, others, ())
    theirs = spreads([results[number] for number in others])
    return Repeats(
        trials, own, others, tuple(difference(metric, own[metric.name], theirs[metric.name]) for metric in decided_by)
    )


def _list(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _spread(values: Sequence[float]) -> Spread:
    return Spread(len(values), statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def _t_quantile(probability: float, freedom: float) -> float:
    from scipy.special import stdtrit  # imported late: half a second

    return float(stdtrit(freedom, probability))
