"""Values of a mixed and conditional space as points in the unit cube, and as what a kernel sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.spec.space import CategoricalDimension, Dimension, FloatDimension, IntDimension, is_active, ordered

Array = NDArray[np.float64]


class Encoding:
    """One coordinate a dimension: a number's place between low and high (by its logarithm where it is log), a choice's
    middle of its share. An inactive dimension is at 0.5.

    Args:
        space: parameter -> dimension, checked.
        fixed: values of the parameters that do not vary, for conditions.
    """

    def __init__(self, space: Mapping[str, Dimension], fixed: Mapping[str, Any]) -> None:
        self.space, self.fixed = dict(space), fixed
        self.names = ordered(space)
        self._conditional = [name for name in self.names if space[name].when]
        self.width = self.features(np.full((1, len(self.names)), 0.5)).shape[1]

    def encode(self, parameters: Mapping[str, Any]) -> Array:
        """The point of a configuration. [dimensions]"""
        return np.array(
            [_place(self.space[name], parameters[name]) if name in parameters else 0.5 for name in self.names]
        )

    def decode(self, point: Array) -> dict[str, Any]:
        """Values of the active dimensions at a point. [dimensions]"""
        values: dict[str, Any] = {}
        for name, unit in zip(self.names, point, strict=True):
            if is_active(self.space[name], {**self.fixed, **values}):
                values[name] = _value(self.space[name], float(unit))
        return values

    def snap(
        self,
        points: Array,  # [points, dimensions]
    ) -> Array:
        """The nearest points that are configurations. [points, dimensions]"""
        units = np.clip(points, 0.0, 1.0)
        columns = [_snapped(self.space[name], units[:, index]) for index, name in enumerate(self.names)]
        snapped = np.stack(columns, axis=1)
        return np.where(self._active(snapped), snapped, 0.5)

    def features(
        self,
        points: Array,  # [points, dimensions], of `snap` or `encode`
    ) -> Array:
        """What a kernel sees: a number's coordinate, a column for each choice, a flag for each conditional dimension.

        Two different choices are as far apart as the two ends of a number: sqrt(1/2) in each of two columns.
        """
        active = self._active(points)
        columns = []
        for index, name in enumerate(self.names):
            dimension, units, here = self.space[name], points[:, index], active[:, index]
            if isinstance(dimension, CategoricalDimension):
                chosen = _index(units, len(dimension.choices))
                columns += [(here & (chosen == one)) * np.sqrt(0.5) for one in range(len(dimension.choices))]
            else:
                columns.append(np.where(here, units, 0.5))
            if dimension.when:
                columns.append(here.astype(np.float64))
        return np.stack(columns, axis=1).astype(np.float64)

    def moved(self, points: Array, scale: float, random: np.random.Generator) -> Array:
        """Each point with some of its coordinates moved: numbers by a normal step, choices drawn again."""
        count, dimensions = points.shape
        which = random.random((count, dimensions)) < max(0.5, 1.0 / dimensions)
        which[np.arange(count), random.integers(dimensions, size=count)] = True
        steps = np.where(which, random.normal(scale=scale, size=points.shape), 0.0)
        moved = points + steps
        for index, name in enumerate(self.names):
            if isinstance(self.space[name], CategoricalDimension):
                again = random.random(count) < scale
                moved[:, index] = np.where(again, random.random(count), points[:, index])
        return self.snap(moved)

    def _active(self, points: Array) -> NDArray[np.bool_]:
        active = np.ones(points.shape, dtype=bool)
        for name in self._conditional:
            active[:, self.names.index(name)] = self._holds(self.space[name], points, active)
        return active

    def _holds(self, dimension: Dimension, points: Array, active: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where a dimension's conditions hold, by the distinct values of the parameters that it depends on."""
        holds = np.ones(len(points), dtype=bool)
        for other, wanted in dimension.when.items():
            condition = dimension.model_copy(update={"when": {other: wanted}})
            if other not in self.space:
                holds &= is_active(condition, self.fixed)
                continue
            column = self.names.index(other)
            units, places = np.unique(points[:, column], return_inverse=True)
            met = [is_active(condition, {other: _value(self.space[other], float(unit))}) for unit in units]
            holds &= np.array(met, dtype=bool)[places] & active[:, column]
            holds |= ~active[:, column] & is_active(condition, self.fixed)
        return holds


def _place(dimension: Dimension, value: Any) -> float:
    if isinstance(dimension, CategoricalDimension):
        same = [type(choice) is type(value) and choice == value for choice in dimension.choices]
        return (same.index(True) + 0.5) / len(dimension.choices)
    low, high = _ends(dimension)
    number = np.log(value) if dimension.log else value
    return float((number - low) / (high - low))


def _value(dimension: Dimension, unit: float) -> Any:
    if isinstance(dimension, CategoricalDimension):
        return dimension.choices[int(_index(np.array(unit), len(dimension.choices)))]
    low, high = _ends(dimension)
    number = low + unit * (high - low)
    exact = float(np.exp(number)) if dimension.log else number
    if dimension.step is not None:
        exact = dimension.low + round((exact - dimension.low) / dimension.step) * dimension.step
    bounded = min(max(exact, dimension.low), dimension.high)
    return round(bounded) if isinstance(dimension, IntDimension) else float(bounded)


def _snapped(dimension: Dimension, units: Array) -> Array:
    if isinstance(dimension, CategoricalDimension):
        return (_index(units, len(dimension.choices)) + 0.5) / len(dimension.choices)
    step = dimension.step or (1 if isinstance(dimension, IntDimension) else None)
    if step is None:
        return units
    low, high = _ends(dimension)
    numbers = low + units * (high - low)
    exact = np.exp(numbers) if dimension.log else numbers
    exact = np.clip(dimension.low + np.round((exact - dimension.low) / step) * step, dimension.low, dimension.high)
    return np.asarray(((np.log(exact) if dimension.log else exact) - low) / (high - low), dtype=np.float64)


def _ends(dimension: FloatDimension | IntDimension) -> tuple[float, float]:
    if dimension.log:
        return float(np.log(dimension.low)), float(np.log(dimension.high))
    return float(dimension.low), float(dimension.high)


def _index(units: Array, choices: int) -> NDArray[np.int64]:
    return np.minimum((np.asarray(units) * choices).astype(np.int64), choices - 1)


def spread(count: int, dimensions: int, seed: int) -> Array:
    """Points that fill the unit cube evenly: a scrambled Sobol sequence. [count, dimensions]"""
    from scipy.stats import qmc

    power = int(np.ceil(np.log2(max(count, 1))))
    return np.asarray(qmc.Sobol(dimensions, seed=seed).random_base2(power)[:count], dtype=np.float64)


def distinct(
    points: Array,  # [points, dimensions]
    known: Array,  # [known, dimensions]
) -> Array:
    """Points without repeats and without those known, in their order."""
    first = np.unique(np.concatenate([known, points]).round(9), axis=0, return_index=True)[1]
    return points[np.sort(first[first >= len(known)]) - len(known)]
