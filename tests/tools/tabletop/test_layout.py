from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tools.tabletop.layout import Layout, random_layout, shape_library
from tools.tabletop.shapes import CLASSES
from tools.tabletop.surfaces import COLOURS


@pytest.fixture(scope="module")
def layouts() -> list[Layout]:
    rng = np.random.default_rng(0)
    shapes = shape_library(rng, 1)
    return [random_layout(rng, shapes) for _ in range(40)]


def test_objects_stand_on_the_table_and_apart(layouts: list[Layout]) -> None:
    for layout in layouts:
        for index, item in enumerate(layout.items):
            assert (np.abs(item.position) < layout.table_half).all()
            for other in layout.items[:index]:
                reach = item.shape.radius * item.scale + other.shape.radius * other.scale
                assert np.hypot(*np.subtract(item.position, other.position)) > 0.82 * reach


def test_every_class_and_colour_turns_up(layouts: list[Layout]) -> None:
    items = [item for layout in layouts for item in layout.items]
    assert {item.name for item in items} == set(CLASSES)
    assert {item.colour for item in items} == set(COLOURS)


def test_many_layouts_have_objects_of_one_colour(layouts: list[Layout]) -> None:
    """Only their shape tells them apart: without them a model could do with colour alone."""
    shared = [max(Counter(item.colour for item in layout.items).values()) >= 3 for layout in layouts]
    assert np.mean(shared) > 0.25


def test_the_seed_decides_the_layout() -> None:
    def kinds(seed: int) -> list[tuple[str, str, tuple[float, float]]]:
        rng = np.random.default_rng(seed)
        layout = random_layout(rng, shape_library(rng, 1))
        return [(item.name, item.colour, item.position) for item in layout.items]

    assert kinds(5) == kinds(5)
    assert kinds(5) != kinds(6)
