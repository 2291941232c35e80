"""One objective at every rung: a chain of Gaussian processes, each on what the rung below measured.

A trial passes every rung on its way, so the data are nested and the chain falls apart into one small process a rung.
What a trial measured stands for the trial, its luck with the seed included; a configuration that has not run is
carried up the chain as a normal distribution. Source: Kennedy and O'Hagan 2000; Le Gratiet and Garnier 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeps.search.model.gaussian_process import GaussianProcess, Hyperparameters, Prior, fit

Array = NDArray[np.float64]

# Lengths of a quarter to four units of a cube whose sides are 1, longer where there are many of them.
_LOWEST = Prior(lengths=(0.0, 1.0), signal=(0.0, 1.0), offset=1.0, trend=0.4)
# From rung to rung: mostly a line; what is left is smaller than what the lowest rung varies by, and as smooth.
_ABOVE = Prior(lengths=(0.3, 0.6), signal=(float(np.log(0.1)), 1.5), offset=3.0, slope=1.5, trend=0.4)


@dataclass(frozen=True)
class Outlook:
    """Where options stand, for one objective. [options] each

    Args:
        mean, variance: of what the next rung will measure; its noise is left out where that is the last.
        slope, offset, rest: given the next rung's y, the last one's is slope y + offset, with variance `rest`.
    """

    mean: Array
    variance: Array
    slope: Array
    offset: Array
    rest: Array

    @property
    def last(self) -> tuple[Array, Array]:
        """Mean and variance of what the last rung will measure, without its noise."""
        return self.slope * self.mean + self.offset, self.slope**2 * self.variance + self.rest


class Chain:
    """One objective's processes, conditioned on data.

    Args:
        features: [trials, features].
        values: [trials, rungs], NaN where not measured.
        used: [trials, rungs] whether a measurement is among the data; None: all.
        like: a chain whose scale and hyperparameters are kept, or None: they are fitted.
        before: the chain of the last decision: a rung without new measurements keeps its hyperparameters.
    """

    def __init__(
        self,
        features: Array,
        values: Array,
        used: NDArray[np.bool_] | None = None,
        *,
        like: Chain | None = None,
        before: Chain | None = None,
    ) -> None:
        known = np.isfinite(values) if used is None else np.isfinite(values) & used
        measured = known.any(axis=0)
        self._measured = np.isfinite(values).sum(axis=0)
        self._rungs = values.shape[1]
        # Some metrics are only known at the end.
        self.lowest: int = like.lowest if like else int(np.argmax(measured)) if measured.any() else self._rungs - 1
        base = values[known[:, self.lowest], self.lowest]
        self._center: float = like._center if like else float(base.mean()) if len(base) else 0.0
        self._scale: float = like._scale if like else _spread(base, values[known])
        scaled = (values - self._center) / self._scale
        self._processes: list[GaussianProcess] = []
        self.hyperparameters: list[Hyperparameters] = []
        for rung in range(self.lowest, self._rungs):
            first = rung == self.lowest
            below = np.zeros(len(values)) if first else scaled[:, rung - 1]
            rows = known[:, rung] & np.isfinite(below)
            data = features[rows], below[rows], scaled[rows, rung]
            prior = _LOWEST if first else _ABOVE
            old = before if before and before.lowest == self.lowest else None
            if like:
                chosen = like.hyperparameters[rung - self.lowest]
            elif old and old._measured[rung] == self._measured[rung]:
                chosen = old.hyperparameters[rung - self.lowest]
            else:
                chosen = fit(*data, prior, like=None if first else self.hyperparameters[0].lengths)
            self.hyperparameters.append(chosen)
            self._processes.append(GaussianProcess(*data, prior, chosen))

    def outlook(
        self,
        features: Array,  # [options, features]
        reached: int,
        measured: Array | None = None,  # [options]
    ) -> Outlook:
        """What options will measure at their next rung and at the last.

        Args:
            features: of the options.
            reached: index of the last rung that all of them have reached; -1 for new ones.
            measured: what they measured there; None for new ones, or where the metric was not known yet.
        """
        count = len(features)
        mean = np.zeros(count) if measured is None else (measured - self._center) / self._scale
        mean, variance = self._step(features, reached + 1, mean)
        slope, last, rest = np.ones(count), mean, np.zeros(count)
        for rung in range(reached + 2, self._rungs):
            last, added = self._step(features, rung, last)
            factor = self._slope(rung)
            slope, rest = factor * slope, factor**2 * rest + added
        offset = last - slope * mean
        scale = self._scale
        constant = self._center * (1.0 - slope) + scale * offset
        return Outlook(self._center + scale * mean, scale**2 * variance, slope, constant, scale**2 * rest)

    def _step(self, features: Array, rung: int, below: Array) -> tuple[Array, Array]:
        if rung < self.lowest:
            return np.zeros(len(features)), np.full(len(features), 1e-12)
        below = below if rung > self.lowest else np.zeros(len(features))
        mean, variance = self._processes[rung - self.lowest].predict(features, below)
        if rung == self._rungs - 1:
            # A lucky last measurement makes no better configuration: with its noise, what is known well would go on
            # promising a gain, and be tried again and again. Below the last rung a trial's luck goes on with it.
            variance = variance - self.hyperparameters[-1].noise
        return mean, variance

    def _slope(self, rung: int) -> float:
        return self._processes[rung - self.lowest].slope if rung > self.lowest else 0.0


def _spread(lowest: Array, every: Array) -> float:
    """Standard deviation at the lowest rung; where all is alike there, of every measurement."""
    own, whole = (float(some.std()) if len(some) > 1 else 1.0 for some in (lowest, every))
    return max(own if own > 1e-3 * whole else whole, 1e-9)
