"""What the trials measured, as arrays; and how much of it a model is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from f3rm_core import METRICS, Metric
from sweeps.analysis.pareto import ranks
from sweeps.search.history import OPEN, Goal, RungResult, TrialHistory
from sweeps.search.model.encoding import Encoding

Array = NDArray[np.float64]

CONFIGURATION_FAILED = frozenset(("diverged", "oom", "timeout"))
"""Failures that the configuration is to blame for."""
LIMIT = 160
"""Trials at a rung that a model is given."""


@dataclass(frozen=True)
class Observations:
    """Every trial that says something about its configuration.

    Args:
        trials: as the search sees them. [trials]
        points: in the unit cube. [trials, dimensions]
        features: what a kernel sees. [trials, features]
        scores: 0 at a metric's reference, more is better, NaN where not measured. [trials, rungs, metrics]
        seconds: training time until a rung, NaN where not reached. [trials, rungs]
        reached: index of the last rung reached, -1 for none. [trials]
        failed: whether the configuration is to blame for a failure. [trials]
    """

    trials: list[TrialHistory]
    points: Array
    features: Array
    scores: Array
    seconds: Array
    reached: NDArray[np.int64]
    failed: NDArray[np.bool_]

    @property
    def own(self) -> NDArray[np.bool_]:
        """Which are of this sweep; those of earlier ones have numbers below 0. [trials]"""
        return np.array([trial.number >= 0 for trial in self.trials], dtype=bool)


class Table:
    """Reads histories; what it has read of a trial is not read again until the trial has moved.

    Args:
        goal: of the search.
        encoding: of its space.
        metrics: to be read.
    """

    def __init__(self, goal: Goal, encoding: Encoding, metrics: Sequence[Metric]) -> None:
        self._rungs, self._encoding, self._metrics = goal.rungs, encoding, metrics
        self._rows: dict[int, tuple[int, Array, Array, Array]] = {}

    def read(self, history: Sequence[TrialHistory]) -> Observations:
        """Trials that run, wait, ended, or failed by their configuration; others say nothing."""
        told = [t for t in history if t.state in OPEN or t.rungs or t.failure_reason in CONFIGURATION_FAILED]
        rows = [self._row(trial) for trial in told]
        width, rungs = len(self._encoding.names), len(self._rungs)
        points = np.array([row[0] for row in rows]).reshape(-1, width)
        seconds = np.array([row[2] for row in rows]).reshape(-1, rungs)
        known = np.isfinite(seconds)
        return Observations(
            trials=told,
            points=points,
            features=self._encoding.features(points),
            scores=np.array([row[1] for row in rows]).reshape(-1, rungs, len(self._metrics)),
            seconds=seconds,
            reached=np.where(known.any(axis=1), rungs - 1 - np.argmax(known[:, ::-1], axis=1), -1),
            failed=np.array([trial.failure_reason in CONFIGURATION_FAILED for trial in told], dtype=bool),
        )

    def _row(self, trial: TrialHistory) -> tuple[Array, Array, Array]:
        known = self._rows.get(trial.number)
        if known is None or known[0] != len(trial.rungs):
            point = known[1] if known else self._encoding.encode(trial.parameters)
            known = (len(trial.rungs), point, *self._read(trial.rungs))
            self._rows[trial.number] = known
        return known[1:]

    def _read(self, results: Sequence[RungResult]) -> tuple[Array, Array]:
        scores = np.full((len(self._rungs), len(self._metrics)), np.nan)
        seconds = np.full(len(self._rungs), np.nan)
        for result in results:
            if result.step not in self._rungs:
                continue
            rung = self._rungs.index(result.step)
            seconds[rung] = result.seconds
            metrics: Mapping[str, float] = {"train_seconds": result.seconds, **result.metrics}
            scores[rung] = [m.score(metrics[m.name]) if m.name in metrics else np.nan for m in self._metrics]
        return scores, seconds


def metrics_of(goal: Goal) -> list[Metric]:
    """Objectives first, then constrained metrics."""
    return [*goal.objectives, *(METRICS[name] for name in goal.constraints)]


def softened(
    scores: Array,  # [trials, rungs, metrics]
) -> Array:
    """Scores in which what is far too low no longer rules the model: below a floor a logarithm takes over, without a
    jump or a bend. The floor is the reference, or a rung's median where that is lower: hypervolume is not touched."""
    soft = scores.copy()
    rungs, metrics = scores.shape[1:]
    for rung, metric in np.ndindex(rungs, metrics):
        column = scores[:, rung, metric]
        known = column[np.isfinite(column)]
        if len(known):
            floor = min(0.0, float(np.median(known)))
            scale = 0.5 * max(float(np.quantile(known, 0.9)) - floor, 1e-9)
            depth = np.maximum(floor - column, 0.0)
            soft[:, rung, metric] = np.where(depth > 0, floor - scale * np.log1p(depth / scale), column)
    return soft


def bounded(
    scores: Array,  # [trials, rungs, metrics]
    limit: int = LIMIT,
) -> NDArray[np.bool_]:
    """Which measurements a model is given, at most `limit` a rung: the better half by non-dominated rank, so that it
    is exact where it matters; of the others evenly many over time, so that it knows the rest. [trials, rungs]"""
    used = np.isfinite(scores).any(axis=2)
    for rung in range(scores.shape[1]):
        rows = np.flatnonzero(used[:, rung])
        if len(rows) <= limit:
            continue
        values = np.nan_to_num(scores[rows, rung], nan=-1e9)
        order = np.argsort(ranks(values, ["maximize"] * values.shape[1]), kind="stable")
        best, others = rows[order[: limit // 2]], np.sort(rows[order[limit // 2 :]])
        spaced = others[np.linspace(0, len(others) - 1, limit - limit // 2).round().astype(int)]
        used[:, rung] = False
        used[np.concatenate([best, spaced]), rung] = True
    return used
