"""The knee: by hand, and against the distance to a line worked out another way."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.analysis.knee import knee_of
from sweeps.analysis.pareto import front_of
from sweeps.spec.objectives import objectives_of

TWO = objectives_of(["psnr", "feature_gain"])
THREE = objectives_of(["psnr", "feature_gain", "train_seconds"])


def results(*points: tuple[float, ...]) -> dict[int, dict[str, float]]:
    names = [objective.name for objective in THREE]
    return {number: dict(zip(names, point, strict=False)) for number, point in enumerate(points)}


def test_two_objectives_by_hand() -> None:
    # Scaled: (0, 1), (0.5, 0.9), (0.9, 0.3), (1, 0). The line x + y = 1 is 0.4 / sqrt 2 from trial 1.
    knee = knee_of(TWO, results((20, 0.6), (22, 0.56), (23.6, 0.32), (24, 0.2), (19, 0.1)))
    assert knee is not None
    assert knee.trial == 1
    assert knee.distance == pytest.approx(0.4 / math.sqrt(2))
    assert knee.scores == pytest.approx({"psnr": 0.5, "feature_gain": 0.9})


def test_three_objectives_by_hand() -> None:
    # Scaled: three corners, and (0.5, 0.5, 0.5), 0.5 / sqrt 3 beyond their plane.
    knee = knee_of(THREE, results((24, 0.2, 50), (20, 0.6, 50), (20, 0.2, 10), (22, 0.4, 30)))
    assert knee is not None
    assert knee.trial == 3
    assert knee.distance == pytest.approx(0.5 / math.sqrt(3))


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(20, 0.6)],
        [(20, 0.6), (24, 0.2)],
        [(20, 0.6), (22, 0.4), (24, 0.2)],  # straight
        [(20, 0.6), (21, 0.3), (24, 0.2)],  # hollow
    ],
)
def test_a_front_without_a_bulge_has_no_knee(points: list[tuple[float, ...]]) -> None:
    assert knee_of(TWO, results(*points)) is None


def test_one_objective_has_no_knee() -> None:
    assert knee_of(TWO[:1], results((20, 0.6), (22, 0.4), (24, 0.2))) is None


def test_an_objective_that_does_not_vary_counts_for_nothing() -> None:
    assert knee_of(THREE, results((20, 0.6, 5), (22, 0.4, 5), (24, 0.2, 5))) is None
    knee = knee_of(THREE, results((20, 0.6, 5), (22, 0.56, 5), (24, 0.2, 5)))
    assert knee is not None
    assert knee.distance == pytest.approx(0.4 / math.sqrt(2))


def test_of_equals_the_earlier_trial() -> None:
    found = results((20, 0.6), (22, 0.56), (23.6, 0.40), (24, 0.2), (22, 0.56))
    knee = knee_of(TWO, found)
    assert knee is not None
    assert knee.trial == 1


point = st.tuples(st.integers(0, 20).map(lambda n: 20 + n / 4), st.integers(0, 20).map(lambda n: n / 20))


@settings(max_examples=150, deadline=None)
@given(st.lists(point, min_size=1, max_size=12))
def test_it_is_the_farthest_from_the_line_through_the_extremes(points: list[tuple[float, ...]]) -> None:
    found = results(*points)
    knee = knee_of(TWO, found)
    front = [(found[n]["psnr"], found[n]["feature_gain"]) for n in front_of(TWO, found)]
    (x0, y0), (x1, y1) = min(front), max(front)
    if len(front) < 3 or x0 == x1:
        assert knee is None
        return
    scaled = [((x - x0) / (x1 - x0), (y - y1) / (y0 - y1)) for x, y in front]
    # From (0, 1) to (1, 0): the cross product is twice the triangle's area, the base is sqrt 2.
    farthest = max((1 * (y - 1) - (-1) * x) / math.sqrt(2) for x, y in scaled)
    if farthest <= 1e-9:
        assert knee is None
    else:
        assert knee is not None
        assert knee.distance == pytest.approx(farthest)
