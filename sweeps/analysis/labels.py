"""Where the labels of points in a picture go. Plain geometry: any unit of length, y upwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Corners first: beside a point a label hides the least of a curve that runs through it.
_DIRECTIONS = ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
_RINGS = 10
_HIDING_A_LABEL = 10.0
"""How much worse it is to cover a label, or to leave the picture, than to cover a mark."""


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def distance(self, x: float, y: float) -> float:
        """From a point to the rectangle, along the farther axis; 0 within."""
        return max(0.0, self.left - x, x - self.right, self.bottom - y, y - self.top)


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    obstacles: Sequence[Box],
    within: Box,
    gap: float,
) -> list[Box]:
    """Give each label the free place nearest to its point; where none is free, the one that hides least.

    Greedy: an earlier label never makes way for a later one.

    Args:
        points: what is labelled.
        sizes: width and height of each label.
        obstacles: marks that labels should not cover.
        within: the picture, which labels should not leave.
        gap: distance from a point to the nearest places of its label.
    """
    placed: list[Box] = []
    for point, size in zip(points, sizes, strict=True):

        def hidden(box: Box) -> float:
            labels = sum(box.overlap(other) for other in placed)
            outside = box.area - box.overlap(within)
            return _HIDING_A_LABEL * (labels + outside) + sum(box.overlap(mark) for mark in obstacles)

        placed.append(min(_places(point, size, gap), key=hidden))
    return placed


def _places(point: tuple[float, float], size: tuple[float, float], gap: float) -> Iterator[Box]:
    """The places of a label, the nearest first."""
    for ring in range(_RINGS):
        distance = gap * (1 + 0.75 * ring)
        for across, up in _DIRECTIONS:
            left = _start(point[0], size[0], across, distance)
            bottom = _start(point[1], size[1], up, distance)
            yield Box(left, bottom, left + size[0], bottom + size[1])


def _start(point: float, length: float, direction: int, distance: float) -> float:
    """Where a stretch begins that lies on one side of a point, or in its middle."""
    return {1: point + distance, 0: point - length / 2, -1: point - distance - length}[direction]
