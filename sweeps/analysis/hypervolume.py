"""How much of what can be had a sweep has found: hypervolume on scales that are the same for every sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from f3rm_core import Metric
from sweeps.spec.objectives import is_feasible


class GrowingFront:
    """The hypervolume of results that come one by one.

    Each objective counts from its metric's reference point (0) to its ideal (1), see `f3rm_core.Metric`: 0 is nothing
    of use, 1 the ideal in every objective at once, which no sweep reaches where objectives pull apart. A result that
    another beats costs one comparison with the front, so thousands are cheap.

    Args:
        objectives: with their scales.
    """

    def __init__(self, objectives: Sequence[Metric]) -> None:
        self._objectives = tuple(objectives)
        self._front: NDArray[np.float64] = np.zeros((0, len(self._objectives)))  # scores, [points, objectives]
        self.hypervolume = 0.0

    def add(self, metrics: Mapping[str, float]) -> float:
        """Take a result in. Returns what it added, 0 for one that lacks an objective or does not beat the reference."""
        if any(objective.name not in metrics for objective in self._objectives):
            return 0.0
        scores = np.array([objective.score(metrics[objective.name]) for objective in self._objectives])
        if (scores <= 0).any() or (self._front >= scores).all(axis=1).any():
            return 0.0
        before = self.hypervolume
        beaten = (self._front <= scores).all(axis=1)
        self._front = np.vstack([self._front[~beaten], scores])
        self.hypervolume = float(moocore.hypervolume(-self._front, ref=np.zeros(len(scores))))
        return self.hypervolume - before


@dataclass(frozen=True)
class Ended:
    """A trial that has ended, as far as hypervolume and cost are concerned.

    Args:
        trial: its number.
        seconds: what it cost.
        metrics: its result at full fidelity; None where it has none (failed, pruned).
    """

    trial: int
    seconds: float
    metrics: Mapping[str, float] | None


@dataclass(frozen=True)
class Growth:
    """Where a sweep stood when a trial had ended.

    Args:
        trial: the trial.
        seconds: cost of this trial and of all that ended before.
        hypervolume: of the feasible results so far.
        gained: of it by this trial.
    """

    trial: int
    seconds: float
    hypervolume: float
    gained: float


def growth(
    objectives: Sequence[Metric], ended: Iterable[Ended], constraints: Mapping[str, float] | None = None
) -> list[Growth]:
    """The hypervolume of a sweep over its cost.

    Args:
        objectives: with their scales.
        ended: trials in the order in which they ended, failed and pruned ones too: they cost as well.
        constraints: metric -> limit; a result beyond one does not count.
    """
    front, seconds, found = GrowingFront(objectives), 0.0, []
    for trial in ended:
        seconds += trial.seconds
        counts = trial.metrics is not None and is_feasible(constraints or {}, trial.metrics)
        gained = front.add(trial.metrics) if counts and trial.metrics is not None else 0.0
        found.append(Growth(trial.trial, seconds, front.hypervolume, gained))
    return found
