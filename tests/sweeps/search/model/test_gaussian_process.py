"""The posterior against the textbook's formula and against scikit-learn; what is fitted against what made the data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from sweeps.search.model.gaussian_process import GaussianProcess, Hyperparameters, Prior, fit, matern

PRIOR = Prior(lengths=(0.0, 1.0), signal=(0.0, 1.0), offset=0.7, slope=0.5, trend=0.3)
KEPT = Hyperparameters(np.array([0.4, 0.9]), 1.3, 0.01)


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    features = random.random((12, 2))
    return features, random.normal(size=12), random.normal(size=12)


def test_matern_at_a_length() -> None:
    assert matern(np.array([0.0, 1.0])) == pytest.approx([1.0, (1 + 5**0.5 + 5 / 3) * np.exp(-(5**0.5))])


def test_the_posterior_is_the_textbooks(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    features, below, values = data
    at, at_below = np.array([[0.2, 0.3], [0.9, 0.1]]), np.array([0.5, -1.0])

    def covariance(x: np.ndarray, z: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
        gaps = np.sqrt((((x[:, None] - y[None]) / KEPT.lengths) ** 2).sum(-1))
        trend = 0.3**2 * (x - 0.5) @ (y - 0.5).T
        return KEPT.signal * matern(gaps) + 0.7**2 + 0.5**2 * np.outer(z, w) + trend

    inverse = np.linalg.inv(covariance(features, below, features, below) + 0.01 * np.eye(12))
    cross = covariance(at, at_below, features, below)
    mean, variance = GaussianProcess(features, below, values, PRIOR, KEPT).predict(at, at_below)
    assert mean == pytest.approx(at_below + cross @ inverse @ (values - below), rel=1e-5)
    own = np.diag(covariance(at, at_below, at, at_below) - cross @ inverse @ cross.T) + 0.01
    assert variance == pytest.approx(own, rel=1e-5)


def test_without_lines_it_is_scikit_learns(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    features, _, values = data
    plain = Prior(lengths=(0.0, 1.0), signal=(0.0, 1.0), offset=0.0)
    other = GaussianProcessRegressor(
        ConstantKernel(1.3) * Matern(KEPT.lengths, nu=2.5), alpha=0.01 + 1e-8, optimizer=None
    ).fit(features, values)
    at = np.random.default_rng(1).random((5, 2))
    mean, deviation = other.predict(at, return_std=True)
    ours = GaussianProcess(features, np.zeros(12), values, plain, KEPT).predict(at, np.zeros(5))
    assert ours[0] == pytest.approx(mean, abs=1e-6)
    assert ours[1] == pytest.approx(deviation**2 + 0.01, abs=1e-6)


def test_the_slope_is_what_the_mean_changes_by_with_the_rung_below(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    process = GaussianProcess(*data, PRIOR, KEPT)
    at = np.array([[0.2, 0.3]] * 2)
    mean, _ = process.predict(at, np.array([0.0, 1.0]))
    assert mean[1] - mean[0] == pytest.approx(process.slope)


def test_numbers_that_no_arithmetic_can_tell_apart_raise_nothing() -> None:
    features, below = np.zeros((6, 1)), np.full(6, -1.6e8)
    prior = Prior(lengths=(0.0, 1.0), signal=(0.0, 1.0), slope=1.5)
    process = GaussianProcess(features, below, below, prior, Hyperparameters(np.ones(1), 1.0, 1e-8))
    assert np.isfinite(process.predict(features, below)).all()


def test_without_data_the_prior_stands() -> None:
    empty = np.zeros((0, 2)), np.zeros(0), np.zeros(0)
    chosen = fit(*empty, PRIOR)
    assert chosen.lengths == pytest.approx([1.0, 1.0])
    mean, variance = GaussianProcess(*empty, PRIOR, chosen).predict(np.array([[0.5, 0.5]]), np.array([0.8]))
    assert mean == pytest.approx([0.8])
    assert variance == pytest.approx([1.0 + 0.7**2 + (0.5 * 0.8) ** 2 + 1e-3], rel=1e-6)


def test_fitted_lengths_tell_what_matters_from_what_does_not() -> None:
    features = np.random.default_rng(0).random((60, 2))
    chosen = fit(features, np.zeros(60), np.sin(9 * features[:, 0]), PRIOR)
    assert 2 * chosen.lengths[0] < chosen.lengths[1]
    assert chosen.noise < 1e-3


def test_noise_is_found() -> None:
    random = np.random.default_rng(0)
    features = random.random((150, 1))
    values = np.sin(6 * features[:, 0]) + random.normal(scale=0.3, size=150)
    assert fit(features, np.zeros(150), values, PRIOR).noise == pytest.approx(0.09, rel=0.35)
