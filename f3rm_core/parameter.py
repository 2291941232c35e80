"""One documented parameter: its name, type and bounds, what it does, and its places in the config tree.

Plain data, no torch. `places` lead from the F3RMTrainerConfig to attributes and dictionary keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from f3rm_core.errors import InvalidParameter

Kind = Literal["int", "float", "bool", "str", "ints"]
Scale = Literal["linear", "log", "choices"]

SAME_RESULT = "it changes no result"


@dataclass(frozen=True)
class SweepRange:
    """Where a sweep of one parameter is worth its time: narrower than what can work.

    Args:
        scale: how values are spread; "choices" lists them.
        low, high: inclusive ends of a linear or logarithmic range.
        choices: the values, where scale is "choices".
    """

    scale: Scale
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.scale == "choices":
            assert self.choices
            assert self.low is None
            assert self.high is None
        else:
            assert self.low is not None
            assert self.high is not None
            assert self.low < self.high
            assert self.low > 0 or self.scale == "linear"

    def __str__(self) -> str:
        if self.scale == "choices":
            return ", ".join(value_text(value) for value in self.choices)
        return f"{self.low:g} to {self.high:g}" + (", log" if self.scale == "log" else "")


@dataclass(frozen=True)
class Effects:
    """What a larger value (or turning it on) does, in a few words each; None where it does nothing there."""

    quality: str | None = None
    speed: str | None = None
    memory: str | None = None


@dataclass(frozen=True)
class Parameter:
    """One documented parameter.

    Args:
        name: the documented, flat name.
        kind: type of its value; "ints" is a list of integers.
        default: F3RM's documented default. None for a suffixed name that follows the flat one (`lr_fields`).
        places: where it goes in the config tree, dotted; several for a flat name such as `lr`.
        part: the part of the system that it belongs to.
        summary: one sentence.
        low, high: inclusive hard bounds of what can work (not a sweep's range).
        above: exclusive lower bound, where the bound itself can't work.
        choices: the values that a "str" may take; empty: any.
        unit: what it counts or is measured in; "" for a plain number, a switch or a name.
        sweep: where to sweep it; None where a sweep may not.
        effects: what it does to quality, speed and memory.
        not_sweepable: why a sweep must not vary it; empty: it may.
    """

    name: str
    kind: Kind
    default: Any
    places: tuple[str, ...]
    part: str
    summary: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    sweep: SweepRange | None = None
    effects: Effects = Effects()
    not_sweepable: str = ""

    def __post_init__(self) -> None:
        # Each parameter has a range or a reason to have none.
        assert (self.sweep is None) == bool(self.not_sweepable), self.name

    @property
    def changes_result(self) -> bool:
        """Whether the trained model depends on it."""
        return self.not_sweepable != SAME_RESULT

    def check(self, value: object) -> Any:
        """Return the value in the parameter's own type.

        Raises:
            InvalidParameter: with name, value and remedy.
        """
        if self.kind == "ints":
            if not isinstance(value, list | tuple) or not value:
                raise InvalidParameter(self.name, value, "give a list of integers, such as [256, 96]")
            return tuple(self._check_number(item, integer=True, whole=value) for item in value)
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise InvalidParameter(self.name, value, "give true or false")
            return value
        if self.kind == "str":
            wanted = f"give one of {', '.join(self.choices)}" if self.choices else "give a text"
            if not isinstance(value, str):
                # YAML 1.1 reads off as false.
                hint = " (YAML reads on, off, yes and no as true or false: write it in quotes)"
                raise InvalidParameter(self.name, value, wanted + (hint if isinstance(value, bool) else ""))
            if self.choices and value not in self.choices:
                raise InvalidParameter(self.name, value, wanted)
            return value
        return self._check_number(value, integer=self.kind == "int", whole=value)

    def _check_number(self, value: object, *, integer: bool, whole: object) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            wanted = "an integer" if integer else "a number"
            hint = ", without quotes" if isinstance(value, str) and _is_number(value) else ""
            raise InvalidParameter(self.name, whole, f"give {wanted}{hint}")
        if not _is_finite(value):
            raise InvalidParameter(self.name, whole, "must be finite")
        if integer and value != int(value):
            raise InvalidParameter(self.name, whole, "give an integer")
        if self.above is not None and value <= self.above:
            raise InvalidParameter(self.name, whole, f"must be above {self.above:g}")
        if self.low is not None and value < self.low:
            raise InvalidParameter(self.name, whole, f"must be at least {self.low:g}")
        if self.high is not None and value > self.high:
            raise InvalidParameter(self.name, whole, f"must be at most {self.high:g}")
        return int(value) if integer else float(value)


def value_text(value: Any) -> str:
    """A value as a user writes it in YAML; - for none."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False
