"""Configurations drawn evenly from a space, for checks. The search itself asks Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from sweeps.spec.space import CategoricalDimension, Dimension, FloatDimension, IntDimension, is_active, on_grid, ordered


def draw(space: Mapping[str, Dimension], fixed: Mapping[str, Any], random: Random) -> dict[str, Any]:
    """Values of the space's active dimensions.

    Args:
        space: parameter name -> dimension, checked.
        fixed: values of the parameters that do not vary, for conditions.
        random: where chance comes from.
    """
    drawn: dict[str, Any] = {}
    for name in ordered(space):
        if is_active(space[name], {**fixed, **drawn}):
            drawn[name] = _value(space[name], random)
    return drawn


def _value(dimension: Dimension, random: Random) -> Any:
    if isinstance(dimension, CategoricalDimension):
        return random.choice(dimension.choices)
    if dimension.step is not None:
        steps = round((dimension.high - dimension.low) / dimension.step)
        return on_grid(dimension, random.randint(0, steps))
    if isinstance(dimension, IntDimension):
        return _whole(dimension, random)
    if dimension.log:
        return _between(dimension, math.exp(random.uniform(math.log(dimension.low), math.log(dimension.high))))
    return _between(dimension, random.uniform(dimension.low, dimension.high))


def _whole(dimension: IntDimension, random: Random) -> int:
    if not dimension.log:
        return random.randint(dimension.low, dimension.high)
    # Half a unit to each side, so that the ends are as likely as their neighbours.
    exponent = random.uniform(math.log(dimension.low - 0.5), math.log(dimension.high + 0.5))
    return int(_between(dimension, round(math.exp(exponent))))


def _between(dimension: FloatDimension | IntDimension, value: float) -> float:
    """The value, where rounding has moved it beyond an end the end."""
    return min(max(value, dimension.low), dimension.high)
