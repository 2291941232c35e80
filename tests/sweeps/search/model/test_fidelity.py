"""The chain of rungs on curves whose law is known."""

from __future__ import annotations

import numpy as np
import pytest

from sweeps.search.model.fidelity import Chain


@pytest.fixture
def curves() -> tuple[np.ndarray, np.ndarray]:
    """Twice the rung below plus one, from rung to rung. [30, 1] and [30, 3]"""
    features = np.linspace(0, 1, 30)[:, None]
    first = np.sin(5 * features[:, 0])
    return features, np.stack([first, 2 * first + 1, 4 * first + 3], axis=1)


def test_a_paused_trial_is_carried_up_by_the_law(curves: tuple[np.ndarray, np.ndarray]) -> None:
    features, values = curves
    known = values.copy()
    known[::3, 1:], known[1::3, 2] = np.nan, np.nan
    outlook = Chain(features, known).outlook(features[::3], 0, values[::3, 0])
    assert outlook.mean == pytest.approx(values[::3, 1], abs=0.05)
    assert outlook.last[0] == pytest.approx(values[::3, 2], abs=0.15)
    assert outlook.slope == pytest.approx(np.full(10, 2.0), abs=0.1)


def test_a_new_configuration_is_less_certain_than_one_that_ran(curves: tuple[np.ndarray, np.ndarray]) -> None:
    features, values = curves
    chain = Chain(features[:20], values[:20])
    new, ran = chain.outlook(features[25:], -1), chain.outlook(features[25:], 1, values[25:, 1])
    assert (new.last[1] > ran.last[1]).all()
    assert new.last[0].shape == ran.last[0].shape == (5,)


def test_the_outlook_given_the_next_rung_is_that_from_there(curves: tuple[np.ndarray, np.ndarray]) -> None:
    features, values = curves
    chain = Chain(features, values)
    before = chain.outlook(features[:4], 0, values[:4, 0])
    after = chain.outlook(features[:4], 1, before.mean)
    assert before.slope * before.mean + before.offset == pytest.approx(after.mean)
    assert before.rest == pytest.approx(after.variance)


def test_luck_at_the_last_rung_promises_nothing_but_goes_on_from_those_below() -> None:
    features, luck = np.linspace(0, 1, 120)[:, None], np.random.default_rng(0).normal(scale=0.3, size=(120, 2))
    first = np.sin(5 * features[:, 0]) + luck[:, 0]
    chain = Chain(features, np.stack([first, first + luck[:, 1]], axis=1))
    new, ran = chain.outlook(features[50:60], -1), chain.outlook(features[50:60], 0, first[50:60])
    assert new.variance.min() > 0.6 * 0.3**2
    assert ran.last[1].max() < 0.2 * 0.3**2


def test_a_metric_that_is_known_at_the_end_only_says_nothing_before(curves: tuple[np.ndarray, np.ndarray]) -> None:
    features, values = curves
    known = values.copy()
    known[:, :2] = np.nan
    outlook = Chain(features, known).outlook(features, 0, known[:, 0])
    assert outlook.last[0] == pytest.approx(values[:, 2], abs=0.2)
    assert (outlook.slope == 0).all()


def test_a_metric_that_is_alike_everywhere_at_the_first_rung_is_learned_above() -> None:
    features = np.linspace(0, 1, 6)[:, None]
    values = np.column_stack([np.full(6, 3.2), 4.2 + 0.1 * features[:, 0], 5.2 + 0.1 * features[:, 0]])
    mean, variance = Chain(features, values).outlook(np.array([[0.5]]), -1).last
    assert mean[0] == pytest.approx(5.25, abs=0.1)
    assert variance[0] < 0.2


def test_without_any_measurement_it_is_the_prior() -> None:
    outlook = Chain(np.zeros((0, 1)), np.zeros((0, 3))).outlook(np.array([[0.5]]), -1)
    assert np.isfinite(outlook.last[0]).all()
    assert (outlook.last[1] > 0.5).all()
