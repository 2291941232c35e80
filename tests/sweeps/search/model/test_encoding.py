"""Values of a mixed and conditional space as points, worked out by hand."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from sweeps.search.model.encoding import Encoding, distinct, spread
from sweeps.spec.draw import draw
from sweeps.spec.space import CategoricalDimension, FloatDimension, IntDimension

SPACE = {
    "lr": FloatDimension(type="float", low=1e-3, high=1e-1, log=True),
    "samples": IntDimension(type="int", low=8, high=24, step=4),
    "use_pe": CategoricalDimension(type="categorical", choices=[False, True]),
    "frequencies": IntDimension(type="int", low=2, high=8, when={"use_pe": True}),
}


@pytest.fixture
def encoding() -> Encoding:
    return Encoding(SPACE, {})


def test_numbers_are_placed_between_low_and_high_and_choices_in_the_middle_of_their_share(encoding: Encoding) -> None:
    point = encoding.encode({"lr": 1e-2, "samples": 12, "use_pe": True, "frequencies": 5})
    assert point == pytest.approx([0.5, 0.25, 0.75, 0.5])


def test_a_kernel_sees_a_column_for_each_choice_and_a_flag_for_a_condition(encoding: Encoding) -> None:
    on = encoding.encode({"lr": 1e-1, "samples": 24, "use_pe": True, "frequencies": 8})
    off = encoding.encode({"lr": 1e-1, "samples": 24, "use_pe": False})
    half = math.sqrt(0.5)
    assert encoding.features(np.array([on, off])) == pytest.approx(
        np.array([[1, 1, 0, half, 1, 1], [1, 1, half, 0, 0.5, 0]])
    )


def test_no_points_have_no_features(encoding: Encoding) -> None:
    assert encoding.features(np.zeros((0, 4))).shape == (0, 6)


def test_an_inactive_value_makes_no_difference(encoding: Encoding) -> None:
    points = encoding.snap(np.array([[0.5, 0.5, 0.2, 0.0], [0.5, 0.5, 0.2, 1.0]]))
    assert (points[0] == points[1]).all()
    assert "frequencies" not in encoding.decode(points[0])


def test_snapped_points_are_configurations(encoding: Encoding) -> None:
    values = encoding.decode(encoding.snap(np.array([[2.0, 0.3, 0.9, 0.49]]))[0])
    assert values == {"lr": pytest.approx(0.1), "samples": 12, "use_pe": True, "frequencies": 5}


def test_configurations_come_back_from_their_points(encoding: Encoding) -> None:
    random = Random(0)
    for _ in range(200):
        drawn = draw(SPACE, {}, random)
        back = encoding.decode(encoding.encode(drawn))
        assert back.keys() == drawn.keys()
        assert back == pytest.approx(drawn)


def test_a_condition_on_a_fixed_value_holds_or_not() -> None:
    space = {"frequencies": SPACE["frequencies"]}
    assert Encoding(space, {"use_pe": True}).decode(np.array([1.0])) == {"frequencies": 8}
    assert Encoding(space, {"use_pe": False}).decode(np.array([1.0])) == {}


def test_moved_points_are_configurations_and_differ(encoding: Encoding) -> None:
    points = encoding.snap(spread(64, 4, seed=0))
    moved = encoding.moved(points, 0.2, np.random.default_rng(0))
    assert (encoding.snap(moved) == moved).all()
    assert (moved != points).any(axis=1).mean() > 0.7


def test_distinct_points_are_neither_repeated_nor_known() -> None:
    points = np.array([[0.3], [0.1], [0.3], [0.2]])
    assert distinct(points, np.array([[0.1]])).tolist() == [[0.3], [0.2]]
    assert distinct(points, np.zeros((0, 1))).tolist() == [[0.3], [0.1], [0.2]]
