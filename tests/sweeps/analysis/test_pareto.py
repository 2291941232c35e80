"""The front and its volume: worked out by hand, and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sweeps.analysis.pareto import front_of, hypervolume, non_dominated, ranks, skyband
from sweeps.spec.objectives import objectives_of

UP = ["maximize", "maximize"]


def test_a_front_by_hand() -> None:
    values = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    assert non_dominated(values, UP).tolist() == [True, True, True, False, False]
    # (2, 1) is beaten by the front alone, (1, 1) by (2, 1) as well.
    assert ranks(values, UP).tolist() == [0, 0, 0, 2, 1]


def test_a_skyband_by_hand() -> None:
    values = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [1.0, 1.0], [2.0, 1.0], [2.0, 2.0]])
    assert skyband(values, UP, 0).tolist() == non_dominated(values, UP).tolist()
    # (2, 1) is beaten by (3, 1) and twice by (2, 2); (1, 1) by all others.
    assert skyband(values, UP, 2).tolist() == [True, True, True, False, False, True]
    assert skyband(values, UP, 3).tolist() == [True, True, True, False, True, True]
    assert skyband(values, UP, 5).all()
    assert skyband(np.zeros((0, 2)), UP, 1).shape == (0,)


@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.integers(0, 4)), st.integers(0, 3))
def test_whoever_turns_out_worse_the_front_was_in_the_skyband(values: np.ndarray, most: int) -> None:
    inside = skyband(values, UP, most)
    worse = values.copy()
    worse[np.argsort(-values.sum(axis=1))[:most]] = -1.0  # the best of all fall behind
    left = np.flatnonzero(worse[:, 0] >= 0)
    assert inside[left[non_dominated(values[left], UP)]].all()


def test_directions_are_the_metrics() -> None:
    values = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert non_dominated(values, ["maximize", "minimize"]).tolist() == [False, False, True]


def test_equal_points_are_all_on_the_front() -> None:
    assert non_dominated(np.array([[1.0, 1.0], [1.0, 1.0]]), UP).tolist() == [True, True]


def test_volumes_by_hand() -> None:
    values = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert hypervolume(values, UP, [0.0, 0.0]) == pytest.approx(3 + 2 + 1)
    assert hypervolume(values, UP, [1.0, 1.0]) == pytest.approx(1.0)  # (2, 2) alone is better in both
    assert hypervolume(values, UP, [9.0, 9.0]) == 0.0
    assert hypervolume(np.array([[2.0, 5.0]]), ["maximize", "minimize"], [0.0, 8.0]) == pytest.approx(6.0)


def test_nothing_has_no_front() -> None:
    assert ranks(np.zeros((0, 2)), UP).tolist() == []
    assert hypervolume(np.zeros((0, 2)), UP, [0.0, 0.0]) == 0.0


def test_trials_that_lack_an_objective_are_left_out() -> None:
    results = {3: {"psnr": 20.0, "feature_gain": 0.1}, 1: {"psnr": 25.0}, 2: {"psnr": 19.0, "feature_gain": 0.5}}
    assert front_of(objectives_of(["psnr", "feature_gain"]), results) == [3, 2]


small = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(0, 4).map(float))


@settings(max_examples=100, deadline=None)
@given(small)
def test_ranks_agree_with_brute_force(values: np.ndarray) -> None:
    directions = ["maximize"] * values.shape[1]
    expected = np.full(len(values), -1)
    rest, rank = list(range(len(values))), 0
    while rest:
        front = [
            i for i in rest if not any((values[j] >= values[i]).all() and (values[j] > values[i]).any() for j in rest)
        ]
        expected[front] = rank
        rest, rank = [i for i in rest if i not in front], rank + 1
    assert ranks(values, directions).tolist() == expected.tolist()


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 8), st.just(2)), elements=st.integers(0, 5).map(float)))
def test_volumes_agree_with_counting_unit_squares(values: np.ndarray) -> None:
    squares = sum(any(x < point[0] and y < point[1] for point in values) for x in range(5) for y in range(5))
    assert hypervolume(values, UP, [0.0, 0.0]) == pytest.approx(float(squares))
