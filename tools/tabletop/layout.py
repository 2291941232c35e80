"""A scene before it is rendered: which objects stand where, with which paint, in which room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tools.tabletop.shapes import CLASSES, Shape, build_shape
from tools.tabletop.surfaces import (
    COLOURS,
    PATTERNS,
    RGB,
    Patterned,
    Surface,
    Tartan,
    Tiles,
    Wallpaper,
    Wood,
)

WALL, FLOOR, TABLE, CLOTH = range(4)
BACKGROUND = ("wall", "floor", "table", "cloth")
"""Names of mask ids 0 to 3."""
FIRST_OBJECT_ID = len(BACKGROUND)

FLOOR_Z, CEILING_Z, ROOM_HALF = -3.0, 7.0, 8.5
TABLE_THICKNESS, CLOTH_THICKNESS = 0.16, 0.02


@dataclass(frozen=True)
class Item:
    """An object in its place; its mask id is FIRST_OBJECT_ID + its index in the layout."""

    name: str  # a class of shapes.CLASSES
    colour: str  # a colour of surfaces.COLOURS
    shape: Shape
    main: Patterned
    accent: RGB
    position: tuple[float, float]  # on the table
    yaw_rad: float
    scale: float


@dataclass(frozen=True)
class Layout:
    """Everything that is rendered, apart from the camera."""

    items: tuple[Item, ...]
    table_half: tuple[float, float]
    cloth: Tartan | None
    table: Surface
    floor: Surface
    wall: Surface
    light_position: tuple[float, float, float]
    light_half: float  # of the square lamp
    light_strength: float
    ambient_strength: float


def random_layout(rng: np.random.Generator, shapes: Mapping[str, Sequence[Shape]]) -> Layout:
    """A table with 5 to 9 objects. Most layouts hold objects that differ in class alone or in colour alone."""
    table_half = (float(rng.uniform(2.1, 2.7)), float(rng.uniform(1.8, 2.3)))
    cloth = _random_cloth(rng, table_half) if rng.random() < 0.75 else None
    return Layout(
        items=tuple(_random_items(rng, shapes, table_half)),
        table_half=table_half,
        cloth=cloth,
        table=_random_wood(rng, plank_width=rng.uniform(0.5, 0.9)),
        floor=_random_floor(rng),
        wall=Wallpaper(
            ground=_muted(rng, 0.3, 0.85),
            print_colour=_muted(rng, 0.25, 0.85),
            pattern=str(rng.choice(["plain", "bars", "dots", "checks", "stripes"])),
            period=rng.uniform(0.6, 1.6),
            floor_z=FLOOR_Z,
            ceiling_z=CEILING_Z,
        ),
        light_position=(rng.uniform(-3.5, 3.5), rng.uniform(-3.5, 3.5), rng.uniform(5.0, 6.8)),
        light_half=rng.uniform(0.6, 1.5),
        light_strength=rng.uniform(0.55, 0.9),
        ambient_strength=rng.uniform(0.3, 0.5),
    )


def shape_library(rng: np.random.Generator, variants: int) -> dict[str, list[Shape]]:
    """`variants` shapes of every class."""
    return {name: [build_shape(name, rng) for _ in range(variants)] for name in CLASSES}


def jittered(colour: RGB, rng: np.random.Generator) -> RGB:
    """The colour as a painter would mix it another day: still called by the same name."""
    mixed = np.array(colour) * (1 + rng.normal(0, 0.1)) * (1 + rng.normal(0, 0.05, 3)) + rng.uniform(0, 0.012, 3)
    return _rgb(np.clip(mixed, 0.01, 0.9))


def _random_items(
    rng: np.random.Generator, shapes: Mapping[str, Sequence[Shape]], table_half: tuple[float, float]
) -> list[Item]:
    items: list[Item] = []
    for name, colour in _random_kinds(rng, count=int(rng.integers(5, 10))):
        shape = shapes[name][rng.integers(len(shapes[name]))]
        scale = float(rng.uniform(0.85, 1.15))
        spot = _free_spot(rng, items, table_half, shape.radius * scale)
        if spot is None:
            continue
        base = jittered(COLOURS[colour], rng)
        accent = _random_accent(rng, colour)
        pattern = "plain" if rng.random() < 0.45 else str(rng.choice(PATTERNS[1:]))
        main = Patterned(base, accent, pattern, repeats=int(rng.integers(6, 13)), flat=name in ("book", "donut"))
        items.append(Item(name, colour, shape, main, accent, spot, rng.uniform(0, 2 * np.pi), scale))
    return items


def _random_kinds(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Class and colour of each object: often several of one colour, and one class in two colours."""
    names = list(rng.permutation(list(CLASSES)))[:count]
    colours = [str(colour) for colour in rng.choice(list(COLOURS), count)]
    if rng.random() < 0.6:  # distractors of one colour: only the shape tells them apart
        for index in range(1, min(count, int(rng.integers(2, 5)))):
            colours[index] = colours[0]
    if rng.random() < 0.5:  # one class twice: only the colour tells them apart
        names[-1] = names[0]
    return list(zip(names, colours, strict=True))


def _free_spot(
    rng: np.random.Generator, items: Sequence[Item], table_half: tuple[float, float], radius: float
) -> tuple[float, float] | None:
    for _ in range(40):
        spot = rng.uniform(-1, 1, 2) * (np.array(table_half) - radius * 0.8)
        clear = (np.hypot(*(spot - item.position)) > 0.82 * (radius + item.shape.radius * item.scale) for item in items)
        if all(clear):
            return float(spot[0]), float(spot[1])
    return None


def _random_accent(rng: np.random.Generator, colour: str) -> RGB:
    """A second colour: cream, dark, or a lighter or darker tone of the first; seldom a colour of its own."""
    base = np.array(COLOURS[colour])
    choice = rng.random()
    if choice < 0.1:
        return jittered(COLOURS[str(rng.choice(list(COLOURS)))], rng)
    if colour == "white":
        return _rgb(base * rng.uniform(0.3, 0.6))
    if colour == "black":
        return _rgb(np.full(3, rng.uniform(0.12, 0.6)))
    if choice < 0.55:
        return jittered((0.8, 0.77, 0.68), rng)
    return _rgb(base * 0.35 if choice < 0.8 else base * 0.5 + 0.4)


def _random_wood(rng: np.random.Generator, plank_width: float) -> Wood:
    tones: tuple[RGB, ...] = ((0.36, 0.17, 0.06), (0.5, 0.29, 0.13), (0.2, 0.085, 0.035), (0.6, 0.43, 0.25))
    light = np.array(tones[rng.integers(len(tones))]) * rng.uniform(0.85, 1.15)
    return Wood(_rgb(light), _rgb(light * rng.uniform(0.35, 0.6)), plank_width, int(rng.integers(1 << 20)))


def _random_floor(rng: np.random.Generator) -> Surface:
    if rng.random() < 0.5:
        return _random_wood(rng, plank_width=rng.uniform(0.6, 1.2))
    first = _muted(rng, 0.2, 0.7)
    return Tiles(
        first, _rgb(np.array(first) * rng.uniform(0.45, 1.0)), rng.uniform(0.9, 1.8), int(rng.integers(1 << 20))
    )


def _random_cloth(rng: np.random.Generator, table_half: tuple[float, float]) -> Tartan:
    half = (table_half[0] * rng.uniform(0.4, 0.8), table_half[1] * rng.uniform(0.45, 0.8))
    band = np.array(COLOURS[str(rng.choice(list(COLOURS)))])
    return Tartan(
        ground=_muted(rng, 0.35, 0.8),
        band=_rgb(band * 0.8 + 0.04),
        line=_muted(rng, 0.1, 0.8),
        period=rng.uniform(0.35, 0.8),
        centre=(rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)),
        half=half,
        yaw_rad=rng.uniform(-0.15, 0.15),
    )


def _muted(rng: np.random.Generator, low: float, high: float) -> RGB:
    """A tone with little colour, as of paint on a wall."""
    return _rgb(np.clip(rng.uniform(low, high) * (1 + rng.uniform(-0.22, 0.22, 3)), 0.02, 0.88))


def _rgb(values: np.ndarray) -> RGB:
    return float(values[0]), float(values[1]), float(values[2])
