"""Where labels go: beside their point, none over another or over a mark, all within the picture."""

from __future__ import annotations

import itertools

import pytest

from sweeps.analysis.labels import Box, place_labels

PICTURE = Box(0, 0, 100, 100)


def around(x: float, y: float, half: float) -> Box:
    return Box(x - half, y - half, x + half, y + half)


def test_overlap_is_the_common_area() -> None:
    box = Box(0, 0, 4, 3)
    assert box.overlap(Box(3, 1, 9, 2)) == 1.0
    assert box.overlap(Box(4, 0, 5, 3)) == 0.0  # they touch
    assert box.overlap(Box(5, 5, 6, 6)) == 0.0
    assert box.area == 12.0


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((50, 50), Box(52, 52, 62, 56)),  # above, to the right
        ((95, 50), Box(83, 52, 93, 56)),  # no room to the right
        ((50, 99), Box(52, 93, 62, 97)),  # no room above
        ((95, 99), Box(83, 93, 93, 97)),
    ],
)
def test_a_label_alone_goes_to_the_first_corner_with_room(point: tuple[float, float], expected: Box) -> None:
    assert place_labels([point], [(10, 4)], obstacles=[], within=PICTURE, gap=2) == [expected]


def test_two_labels_of_one_point_do_not_meet() -> None:
    first, second = place_labels([(50, 50), (50, 50)], [(30, 4), (4, 4)], obstacles=[], within=PICTURE, gap=2)
    assert first == Box(52, 52, 82, 56)
    assert second == Box(44, 52, 48, 56)


def test_a_mark_in_the_way_is_avoided() -> None:
    (box,) = place_labels([(50, 50)], [(10, 4)], obstacles=[around(55, 54, 2)], within=PICTURE, gap=2)
    assert box == Box(38, 52, 48, 56)


def test_a_crowd_is_spread() -> None:
    """Twelve points in nearly one place: no label covers another, a mark, or the picture's edge."""
    points = [(50 + number / 10, 50 - number / 10) for number in range(12)]
    marks = [around(x, y, 1.5) for x, y in points]
    boxes = place_labels(points, [(30, 4), *[(5, 4)] * 11], obstacles=marks, within=PICTURE, gap=2)
    for box, other in itertools.combinations(boxes, 2):
        assert box.overlap(other) == 0
    assert all(box.overlap(mark) == 0 for box in boxes for mark in marks)
    assert all(box.overlap(PICTURE) == pytest.approx(box.area) for box in boxes)


def test_where_no_place_is_free_a_mark_is_covered_rather_than_a_label() -> None:
    full = Box(0, 0, 12, 8)  # room for one label on each side
    boxes = place_labels([(6, 4), (6, 4)], [(4, 3), (4, 3)], obstacles=[full], within=full, gap=1)
    assert boxes[0].overlap(boxes[1]) == 0
