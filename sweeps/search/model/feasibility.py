"""How likely a configuration is to end with a result that counts: not diverged, within memory and its constraints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from sweeps.search.model.fidelity import Outlook
from sweeps.search.model.gaussian_process import GaussianProcess, Prior, fit
from sweeps.search.model.observations import Observations

Array = NDArray[np.float64]
_PRIOR = Prior(lengths=(-0.5, 0.7), signal=(0.0, 1.0), noise=(float(np.log(1e-2)), 1.0), offset=1.0)


class Survival:
    """Whether configurations survive training, learned from those that failed and those that have not.

    A Gaussian process on -1 (failed) and 1, read through the normal distribution function: least-squares
    classification, Rasmussen and Williams 2006, section 6.5.

    Args:
        seen: trials; those without any result yet say nothing.
        limit: trials that are used at most: failed and surviving ones in equal parts, the latest of each.
    """

    def __init__(self, seen: Observations, limit: int) -> None:
        failed = np.flatnonzero(seen.failed)
        alive = np.flatnonzero(~seen.failed & (seen.reached >= 0))
        self._process: GaussianProcess | None = None
        if len(failed):
            share = limit // 2
            rows = np.concatenate(
                [failed[-max(share, limit - len(alive)) :], alive[-max(share, limit - len(failed)) :]]
            )
            labels = np.where(seen.failed[rows], -1.0, 1.0)
            features, below = seen.features[rows], np.zeros(len(rows))
            chosen = fit(features, below, labels, _PRIOR)
            self._process = GaussianProcess(features, below, labels, _PRIOR, chosen)

    def probability(self, features: Array) -> Array:
        """[options]"""
        if self._process is None:
            return np.ones(len(features))
        mean, variance = self._process.predict(features, np.zeros(len(features)))
        return np.asarray(ndtr(mean / np.sqrt(variance)))


def kept(outlook: Outlook, limit: float) -> Array:
    """How likely a metric's score at the last rung is no less than a limit. [options]"""
    mean, variance = outlook.last
    return np.asarray(ndtr((mean - limit) / np.sqrt(variance)))
