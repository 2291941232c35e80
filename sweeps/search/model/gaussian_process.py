"""One Gaussian process, in numpy: Matern 5/2 over features, and straight lines in them and in the rung below.

    y(x, z) = z + b + r z + t x + f(x) + noise,    b ~ N(0, sb^2), r ~ N(0, sr^2), t ~ N(0, st^2), f ~ GP(0, a^2 k)

z is what the same trial measured at the rung below, and 0 at the lowest rung. t x makes a trend go on beyond the data,
where a Matern process alone falls back to the mean: more rays are better also above the most that were tried. Lengths,
a^2 and the noise are those most likely under the data and the priors (MAP); b, r and t are integrated out.
Source: Rasmussen and Williams 2006, algorithm 2.1, sections 2.7 and 5.4.1; the line in z: Kennedy and O'Hagan 2000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, lapack
from scipy.optimize import minimize

Array = NDArray[np.float64]
_SQRT5 = 5.0**0.5
_JITTER = 1e-8


@dataclass(frozen=True)
class Prior:
    """Normal priors of logarithms: (mean, standard deviation)."""

    lengths: tuple[float, float]
    signal: tuple[float, float]
    noise: tuple[float, float] = (float(np.log(1e-3)), 2.0)
    offset: float = 1.0  # sb
    slope: float = 0.0  # sr
    trend: float = 0.0  # st


@dataclass(frozen=True)
class Hyperparameters:
    """Of one process: lengths [features], variances of signal and noise."""

    lengths: Array
    signal: float
    noise: float


class GaussianProcess:
    """Conditioned on data.

    Args:
        features: [points, features].
        below: [points] what the rung below measured; zeros at the lowest.
        values: [points].
        prior: of the hyperparameters.
        hyperparameters: lengths, signal and noise.
    """

    def __init__(
        self, features: Array, below: Array, values: Array, prior: Prior, hyperparameters: Hyperparameters
    ) -> None:
        self._features, self._below, self._prior = features, below, prior
        self.hyperparameters = hyperparameters
        covariance = self._kernel(features, below, features, below)
        covariance[np.diag_indices(len(values))] += hyperparameters.noise + _JITTER
        self._factor = _cholesky(covariance)
        self._weights = cho_solve((self._factor, True), values - below) if len(values) else np.zeros(0)
        self.slope = 1.0 + prior.slope**2 * float(below @ self._weights)

    def predict(
        self,
        features: Array,  # [points, features]
        below: Array,  # [points]
    ) -> tuple[Array, Array]:
        """Mean and variance of a measurement, its noise included. [points] each"""
        cross = self._kernel(features, below, self._features, self._below)
        prior = self._prior
        variance = self.hyperparameters.signal + prior.offset**2 + (prior.slope * below) ** 2
        variance = variance + prior.trend**2 * ((features - 0.5) ** 2).sum(axis=1)
        mean = below + cross @ self._weights
        if len(self._weights):
            half = lapack.dtrtrs(self._factor, cross.T, lower=1)[0]
            variance = variance - (half**2).sum(axis=0)
        return mean, np.maximum(variance, 1e-12) + self.hyperparameters.noise

    def _kernel(self, left: Array, left_below: Array, right: Array, right_below: Array) -> Array:
        lengths = self.hyperparameters.lengths
        bent = self.hyperparameters.signal * matern(distances(left / lengths, right / lengths))
        return bent + lines(self._prior, left, left_below, right, right_below)


def fit(
    features: Array,  # [points, features]
    below: Array,  # [points]
    values: Array,  # [points]
    prior: Prior,
    *,
    like: Array | None = None,  # [features]
) -> Hyperparameters:
    """The most likely hyperparameters.

    Args:
        features, below, values: the data, values of about unit variance.
        prior: of the logarithms.
        like: lengths around which the prior of lengths is, in place of 1.
    """
    width = features.shape[1]
    lengths = np.full(width, prior.lengths[0]) + (0.0 if like is None else np.log(like))
    means = np.append(lengths, [prior.signal[0], prior.noise[0]])
    if not len(values):
        return _hyperparameters(means)
    widths = np.array([prior.lengths[1]] * width + [prior.signal[1], prior.noise[1]])
    squares = ((features[:, None, :] - features[None, :, :]) ** 2).reshape(-1, width)
    line = lines(prior, features, below, features, below)
    targets, shape = values - below, (len(values), len(values))

    def loss(theta: Array) -> tuple[float, Array]:
        inverse_squares = np.exp(-2.0 * theta[:width])
        signal, noise = np.exp(theta[width:])
        distance = np.sqrt(squares @ inverse_squares).reshape(shape)
        decay = np.exp(-_SQRT5 * distance)
        matrix = signal * (1 + _SQRT5 * distance + 5 / 3 * distance**2) * decay
        covariance = matrix + line
        covariance[np.diag_indices(len(values))] += noise + _JITTER
        factor, failed = lapack.dpotrf(covariance, lower=1)
        if failed:
            return 1e10, np.zeros_like(theta)
        weights = cho_solve((factor, True), targets)
        inverse = lapack.dpotri(factor, lower=1)[0]
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        pull = inverse - np.outer(weights, weights)
        bend = pull * (signal * 5 / 3) * (1 + _SQRT5 * distance) * decay
        gradient = np.empty_like(theta)
        gradient[:width] = 0.5 * (bend.ravel() @ squares) * inverse_squares
        gradient[width] = 0.5 * (pull * matrix).sum()
        gradient[width + 1] = 0.5 * noise * np.trace(pull)
        away = (theta - means) / widths
        value = 0.5 * targets @ weights + np.log(np.diag(factor)).sum() + 0.5 * away @ away
        return float(value), gradient + away / widths

    bounds = [(-4.0, 5.0)] * width + [(-12.0, 5.0), (-16.0, 2.0)]
    found = minimize(loss, means, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    return _hyperparameters(found.x)


def _cholesky(covariance: Array) -> Array:
    """Lower factor. Where rounding has made the matrix indefinite its diagonal is raised, tenfold until that is over: a
    proposal from a coarser model is worth more than none. [points, points]"""
    raised = _JITTER
    while True:
        try:
            return np.asarray(np.linalg.cholesky(covariance))
        except np.linalg.LinAlgError:
            if not raised < np.trace(covariance):  # not rounding: something is not finite
                raise
            covariance = covariance + raised * np.eye(len(covariance))
            raised *= 10.0


def _hyperparameters(theta: Array) -> Hyperparameters:
    return Hyperparameters(np.exp(theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1])))


def lines(prior: Prior, left: Array, left_below: Array, right: Array, right_below: Array) -> Array:
    """Covariance of the straight lines. [left, right]"""
    trend = prior.trend**2 * (left - 0.5) @ (right - 0.5).T
    return np.asarray(prior.offset**2 + prior.slope**2 * np.outer(left_below, right_below) + trend)


def distances(left: Array, right: Array) -> Array:
    """Euclidean distances of all pairs. [left, right]"""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2.0 * left @ right.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def matern(distance: Array) -> Array:
    """Matern 5/2 of a distance in lengths."""
    scaled = _SQRT5 * distance
    return np.asarray((1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled))
