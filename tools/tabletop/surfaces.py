"""What things are painted with: procedural albedo as a function of the point.

Every surface maps points [points, 3] (scene units; in the object's own frame for objects, in the world for the room)
to linear RGB [points, 3]. Patterns have fine detail (grain, print, weave) as well as coarse shapes, on purpose: both
matter to a hash grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RGB = tuple[float, float, float]

COLOURS: dict[str, RGB] = {
    "red": (0.62, 0.025, 0.03),
    "orange": (0.88, 0.24, 0.015),
    "yellow": (0.86, 0.62, 0.03),
    "green": (0.05, 0.35, 0.07),
    "blue": (0.03, 0.11, 0.56),
    "purple": (0.22, 0.05, 0.38),
    "pink": (0.86, 0.25, 0.42),
    "white": (0.82, 0.82, 0.79),
    "black": (0.018, 0.018, 0.022),
}
"""Colour words, as linear RGB albedo."""

PATTERNS = ("plain", "stripes", "checks", "dots", "print")


class Surface(Protocol):
    def albedo(self, points: Array) -> Array:
        """Linear RGB [points, 3] at points [points, 3]."""


@dataclass(frozen=True)
class Plain:
    colour: RGB

    def albedo(self, points: Array) -> Array:
        return np.tile(self.colour, (len(points), 1))


@dataclass(frozen=True)
class Patterned:
    """`base` with a pattern in `accent` over less than half of it, so that the object keeps its base colour's name."""

    base: RGB
    accent: RGB
    pattern: str
    repeats: int  # around an upright object
    flat: bool  # mapped on the xy plane (a book's cover) instead of around the z axis

    def albedo(self, points: Array) -> Array:
        if self.flat:
            u, v = points[:, 0] * self.repeats * 0.5, points[:, 1] * self.repeats * 0.5
        else:
            u = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) * self.repeats
            v = points[:, 2] * self.repeats * 0.36
        mask = _pattern(self.pattern, u, v)
        return np.where(mask[:, None], self.accent, self.base)


@dataclass(frozen=True)
class Wood:
    """Planks along x with grain."""

    light: RGB
    dark: RGB
    plank_width: float
    seed: int

    def albedo(self, points: Array) -> Array:
        x, y = points[:, 0], points[:, 1]
        plank = np.floor(y / self.plank_width)
        shift = _hash(plank, plank * 0, self.seed)
        wave = value_noise(x * 0.5 + 17 * shift, y * 1.6, self.seed)
        rings = 0.5 + 0.5 * np.sin(2 * np.pi * (y * 3.1 + 1.1 * wave + 5 * shift))
        grain = value_noise(x * 2.2, y * 26, self.seed + 1)
        tone = np.clip(0.42 * rings + 0.3 * grain + 0.5 * (shift - 0.5) + 0.3, 0, 1)
        seam = np.abs(y / self.plank_width - plank - 0.5) > 0.485
        return _mix(self.dark, self.light, tone) * np.where(seam, 0.45, 1.0)[:, None]


@dataclass(frozen=True)
class Tartan:
    """Woven cloth: crossing bands, with a hem."""

    ground: RGB
    band: RGB
    line: RGB
    period: float
    centre: tuple[float, float]
    half: tuple[float, float]
    yaw_rad: float

    def albedo(self, points: Array) -> Array:
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        dx, dy = points[:, 0] - self.centre[0], points[:, 1] - self.centre[1]
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        colour = np.tile(self.ground, (len(points), 1))
        for coordinate in (u, v):
            phase = coordinate / self.period % 1
            wide = (np.abs(phase - 0.5) < 0.24)[:, None]
            colour = np.where(wide, 0.5 * colour + 0.5 * np.array(self.band), colour)
            thin = ((np.abs(phase - 0.06) < 0.035) | (np.abs(phase - 0.94) < 0.035))[:, None]
            colour = np.where(thin, 0.35 * colour + 0.65 * np.array(self.line), colour)
        hem = (np.abs(u) > self.half[0] - 0.07) | (np.abs(v) > self.half[1] - 0.07)
        return np.where(hem[:, None], self.line, colour)


@dataclass(frozen=True)
class Tiles:
    """Square tiles of two tones with joints."""

    first: RGB
    second: RGB
    size: float
    seed: int

    def albedo(self, points: Array) -> Array:
        x, y = points[:, 0] / self.size, points[:, 1] / self.size
        i, j = np.floor(x), np.floor(y)
        tone = 0.86 + 0.28 * _hash(i, j, self.seed) + 0.07 * value_noise(x * 3, y * 3, self.seed)
        colour = np.where(((i + j) % 2 > 0.5)[:, None], self.first, self.second) * tone[:, None]
        joint = (np.abs(x - i - 0.5) > 0.475) | (np.abs(y - j - 0.5) > 0.475)
        return np.where(joint[:, None], (0.25, 0.24, 0.22), colour)


@dataclass(frozen=True)
class Wallpaper:
    """Walls: printed paper above a white skirting board, a plain ceiling."""

    ground: RGB
    print_colour: RGB
    pattern: str
    period: float
    floor_z: float
    ceiling_z: float

    def albedo(self, points: Array) -> Array:
        u = (points[:, 0] + points[:, 1]) / self.period  # on each wall one of the two is constant
        height = points[:, 2] - self.floor_z
        mask = _pattern(self.pattern, u, height / self.period)
        colour = np.where(mask[:, None], self.print_colour, self.ground)
        colour = np.where((height < 0.55)[:, None], (0.75, 0.74, 0.7), colour)
        return np.where((points[:, 2] > self.ceiling_z - 0.02)[:, None], (0.78, 0.78, 0.76), colour)


def value_noise(x: Array, y: Array, seed: int) -> Array:
    """Smooth noise in [-1, 1] at points (x, y), with one lattice value a unit square."""
    i, j = np.floor(x), np.floor(y)
    fx, fy = x - i, y - j
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    low = _hash(i, j, seed) * (1 - fx) + _hash(i + 1, j, seed) * fx
    high = _hash(i, j + 1, seed) * (1 - fx) + _hash(i + 1, j + 1, seed) * fx
    return np.asarray(2 * (low * (1 - fy) + high * fy) - 1)


def _hash(i: NDArray[Any], j: NDArray[Any], seed: int) -> Array:
    """A number in [0, 1) for each lattice point: the same every time."""
    n = (i.astype(np.int64) * 73856093) ^ (j.astype(np.int64) * 19349663) ^ (seed * 83492791)
    n = (n ^ (n >> 13)) * 1274126177 & 0x7FFFFFFF
    return ((n ^ (n >> 16)) & 0xFFFF) / 65536.0


def _mix(first: RGB, second: RGB, amount: Array) -> Array:
    """From `first` at amount 0 to `second` at 1: [points, 3]."""
    return np.asarray(np.array(first) + amount[:, None] * (np.array(second) - np.array(first)))


def _pattern(pattern: str, u: Array, v: Array) -> NDArray[np.bool_]:
    """Where the accent colour is, one repeat a unit of u and of v."""
    fu, fv = u - np.floor(u), v - np.floor(v)
    if pattern == "stripes":
        return fv < 0.3
    if pattern == "bars":
        return fu < 0.35
    if pattern == "checks":
        return (fu < 0.5) & (fv < 0.5)
    if pattern == "dots":
        return np.hypot(fu - 0.5, fv - 0.5) < 0.28
    if pattern == "print":  # lines of words: dashes of uneven length, like the print on a label
        row = np.floor(v * 3)
        word = _hash(np.floor(u * 4 + 0.37 * row), row, 5) > 0.3
        return word & (v * 3 - row < 0.5)
    return np.zeros(len(u), dtype=bool)
