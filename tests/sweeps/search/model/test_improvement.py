"""Expected hypervolume improvement against hypervolumes by moocore and against sampling."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sweeps.analysis.pareto import hypervolume
from sweeps.search.model.improvement import expected_improvement, uncovered


def gain(points: np.ndarray, new: np.ndarray) -> float:
    directions, reference = ["maximize"] * points.shape[1], [0.0] * points.shape[1]
    return hypervolume(np.vstack([points, new]), directions, reference) - hypervolume(points, directions, reference)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_a_certain_outcome_improves_by_what_it_adds(objectives: int) -> None:
    random = np.random.default_rng(objectives)
    points, new = random.random((7, objectives)), random.random((40, objectives)) * 1.2 - 0.1
    boxes = uncovered(points, np.zeros(objectives))
    found = expected_improvement(new, np.full(new.shape, 1e-18), boxes)
    assert found == pytest.approx([gain(points, one) for one in new], abs=1e-7)


def test_boxes_do_not_overlap_and_leave_out_what_is_covered() -> None:
    low, high = uncovered(np.array([[1.0, 2.0], [2.0, 1.0], [-1.0, 5.0]]), np.zeros(2))
    assert low.tolist() == [[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]
    assert high.tolist() == [[np.inf, 1.0], [np.inf, 2.0], [np.inf, np.inf]]


@pytest.mark.parametrize("objectives", [2, 3])
def test_an_uncertain_outcome_improves_by_the_mean_over_draws(objectives: int) -> None:
    random = np.random.default_rng(0)
    points, mean = random.random((4, objectives)), np.full(objectives, 0.6)
    deviation = np.linspace(0.2, 0.4, objectives)
    draws = random.normal(mean, deviation, (4000, objectives))
    sampled = np.array([gain(points, one) for one in draws])
    found = float(expected_improvement(mean, deviation**2, uncovered(points, np.zeros(objectives))))
    assert found == pytest.approx(sampled.mean(), abs=4 * sampled.std() / 4000**0.5)


def test_with_one_objective_it_is_expected_improvement() -> None:
    found = expected_improvement(np.array([0.7]), np.array([0.04]), uncovered(np.array([[0.5], [0.9]]), np.zeros(1)))
    away = (0.7 - 0.9) / 0.2
    assert found == pytest.approx((0.7 - 0.9) * norm.cdf(away) + 0.2 * norm.pdf(away))


def test_nothing_is_covered_where_no_point_beats_the_reference() -> None:
    boxes = uncovered(np.array([[-1.0, 3.0]]), np.zeros(2))
    assert expected_improvement(np.array([2.0, 3.0]), np.full(2, 1e-18), boxes) == pytest.approx(6.0)
