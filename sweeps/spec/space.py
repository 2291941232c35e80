"""The space of a sweep: which parameters vary, between which values, and when.

A dimension is a float, an int or a choice. `when` makes it conditional: it is sampled only where another
parameter has a given value, and keeps the base's value elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from f3rm_core import PARAMETERS, InvalidParameter
from sweeps.errors import MISSING, Issue
from sweeps.spec.documents import no_such_parameter


class _Dimension(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    when: dict[str, Any] = Field(
        default_factory=dict,
        description="Sampled only where each of these parameters has this value (or one of these).",
    )


class FloatDimension(_Dimension):
    """A real number between low and high, both included."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: float | None = None


class IntDimension(_Dimension):
    """A whole number between low and high, both included."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: int | None = None


class CategoricalDimension(_Dimension):
    """One of a list of values, with no order between them."""

    type: Literal["categorical"]
    choices: list[Any]


Dimension = Annotated[FloatDimension | IntDimension | CategoricalDimension, Field(discriminator="type")]
TAGS = ("float", "int", "categorical")
MAX_CHOICES = 256


class ConditionCircle(ValueError):
    """Conditions that wait for each other.

    Args:
        names: the parameters that can't be placed.
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"conditions form a circle: {', '.join(names)}")
        self.names = names


def is_active(dimension: _Dimension, values: Mapping[str, Any]) -> bool:
    """Whether a dimension is sampled, given the values of the parameters it depends on."""
    for name, wanted in dimension.when.items():
        allowed = wanted if isinstance(wanted, list) else [wanted]
        if name not in values or not any(_same(values[name], value) for value in allowed):
            return False
    return True


def contains(dimension: Dimension, value: Any) -> bool:
    """Whether a value is one of a dimension's."""
    if isinstance(dimension, CategoricalDimension):
        return any(_same(choice, value) for choice in dimension.choices)
    if isinstance(value, bool) or not isinstance(value, int | float) or not dimension.low <= value <= dimension.high:
        return False
    return dimension.step is None or _divides(dimension.step, value - dimension.low)


def nearest(dimension: Dimension, value: Any) -> Any:
    """A dimension's own value that is nearest to this one; of choices, the first where it is none of them."""
    if isinstance(dimension, CategoricalDimension):
        return next((choice for choice in dimension.choices if _same(choice, value)), dimension.choices[0])
    if contains(dimension, value):
        return value
    inside = min(max(value, dimension.low), dimension.high)
    return inside if dimension.step is None else on_grid(dimension, round((inside - dimension.low) / dimension.step))


def on_grid(dimension: FloatDimension | IntDimension, steps: int) -> float | int:
    """So many steps above the low end of a dimension that has steps. Floats add up to a little more than the high end,
    which is no longer one of its values."""
    assert dimension.step is not None
    return min(dimension.low + steps * dimension.step, dimension.high)


def _same(left: Any, right: Any) -> bool:
    # 1 == True in Python, but not in a configuration; (256, 96) is [256, 96] there.
    left, right = (list(value) if isinstance(value, tuple) else value for value in (left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def ordered(space: Mapping[str, _Dimension]) -> list[str]:
    """Names in an order in which every condition is known before it is needed; user's order where free.

    Raises:
        ConditionCircle: conditions form a circle. `check_space` reports it to the user.
    """
    placed: list[str] = []
    rest = list(space)
    while rest:
        ready = [name for name in rest if all(other in placed or other not in space for other in space[name].when)]
        if not ready:
            raise ConditionCircle(rest)
        placed += ready[:1]
        rest.remove(ready[0])
    return placed


def check_space(space: Mapping[str, _Dimension], fixed: Mapping[str, Any]) -> list[Issue]:
    """Everything wrong with a space that can be seen without a scene or a preset.

    Args:
        space: parameter name -> dimension.
        fixed: the sweep's `parameters`, which may not vary as well.
    """
    issues: list[Issue] = []
    for name, dimension in space.items():
        field = f"space.{name}"
        parameter = PARAMETERS.get(name)
        if parameter is None:
            issues.append(Issue(field, MISSING, no_such_parameter(name)))
            continue
        if parameter.not_sweepable:
            issues.append(Issue(field, MISSING, f"can't be swept: {parameter.not_sweepable}; fix it under parameters"))
        if name in fixed:
            issues.append(Issue(f"parameters.{name}", fixed[name], "also in space; give it in one of the two"))
        if isinstance(dimension, CategoricalDimension):
            issues += _check_choices(field, name, dimension)
        elif isinstance(dimension, FloatDimension | IntDimension):
            issues += _check_range(field, name, dimension)
    issues += _check_conditions(space)
    return issues


def _check_choices(field: str, name: str, dimension: CategoricalDimension) -> list[Issue]:
    issues = []
    if not 1 <= len(dimension.choices) <= MAX_CHOICES:
        issues.append(Issue(f"{field}.choices", dimension.choices, f"give 1 to {MAX_CHOICES} values"))
    for index, choice in enumerate(dimension.choices):
        issues += _check_value(f"{field}.choices.{index}", name, choice)
        if any(_same(choice, other) for other in dimension.choices[:index]):
            issues.append(Issue(f"{field}.choices.{index}", choice, "is given twice"))
    return issues


def _check_range(field: str, name: str, dimension: FloatDimension | IntDimension) -> list[Issue]:
    kind = PARAMETERS[name].kind
    if kind not in ("int", "float"):
        return [Issue(f"{field}.type", dimension.type, f"{name} is no number; use categorical with choices")]
    if kind == "int" and isinstance(dimension, FloatDimension):
        return [Issue(f"{field}.type", dimension.type, f"{name} is a whole number; use int")]
    issues = [*_check_value(f"{field}.low", name, dimension.low), *_check_value(f"{field}.high", name, dimension.high)]
    if dimension.low >= dimension.high:
        issues.append(Issue(f"{field}.low", dimension.low, f"must be below high ({dimension.high})"))
    if dimension.log and dimension.low <= 0:
        issues.append(Issue(f"{field}.low", dimension.low, "must be above 0 where log is true"))
    if dimension.step is not None:
        if dimension.log:
            issues.append(Issue(f"{field}.step", dimension.step, "can't go with log: true; drop one of them"))
        if not 0 < dimension.step <= dimension.high - dimension.low:
            issues.append(
                Issue(
                    f"{field}.step",
                    dimension.step,
                    f"must be above 0 and at most high - low ({dimension.high - dimension.low:g})",
                )
            )
        elif math.isfinite(dimension.high) and not _divides(dimension.step, dimension.high - dimension.low):
            issues.append(
                Issue(f"{field}.high", dimension.high, f"must be low + a multiple of step ({dimension.step:g})")
            )
    return issues


def _divides(step: float, width: float) -> bool:
    return abs(width / step - round(width / step)) < 1e-9


def _check_value(field: str, name: str, value: Any) -> list[Issue]:
    try:
        PARAMETERS[name].check(value)
    except InvalidParameter as error:
        return [Issue(field, value, error.remedy)]
    return []


def _check_conditions(space: Mapping[str, _Dimension]) -> list[Issue]:
    issues = []
    for name, dimension in space.items():
        for other, wanted in dimension.when.items():
            field = f"space.{name}.when.{other}"
            if other not in PARAMETERS:
                issues.append(Issue(field, MISSING, no_such_parameter(other)))
                continue
            for value in wanted if isinstance(wanted, list) else [wanted]:
                issues += _check_value(field, other, value)
            if isinstance(wanted, list) and not wanted:
                issues.append(Issue(field, wanted, "give at least one value"))
    try:
        ordered(space)
    except ConditionCircle as error:
        issues.append(Issue(f"space.{error.names[0]}.when", MISSING, str(error)))
    return issues


def check_reachable(space: Mapping[str, _Dimension], base: Mapping[str, Any]) -> list[Issue]:
    """Conditions that can never hold, given the values that stay fixed.

    Args:
        space: parameter name -> dimension.
        base: values of all parameters that do not vary (and the base's value of those that do).
    """
    issues = []
    for name, dimension in space.items():
        for other, wanted in dimension.when.items():
            allowed = wanted if isinstance(wanted, list) else [wanted]
            if not any(_can_be(space.get(other), base.get(other), value) for value in allowed):
                there = f"is {base.get(other)!r}" if other not in space else "never has this value"
                issues.append(
                    Issue(f"space.{name}.when.{other}", wanted, f"never holds: {other} {there} in this sweep")
                )
    return issues


def _can_be(dimension: _Dimension | None, fixed: Any, value: Any) -> bool:
    if isinstance(dimension, CategoricalDimension):
        return any(_same(choice, value) for choice in dimension.choices)
    if isinstance(dimension, FloatDimension | IntDimension):
        return dimension.low <= value <= dimension.high
    return _same(fixed, value)
