"""One documented parameter: its name, type and bounds, and the places in the config tree. Plain data, no torch.

`places` lead from the F3RMTrainerConfig to attributes and dictionary keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from f3rm_core.errors import InvalidParameter

Kind = Literal["int", "float", "bool", "str", "ints"]

SAME_RESULT = "it changes no result"


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
        choices: the values that a "str" may take; empty: any.
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
    choices: tuple[str, ...] = ()
    not_sweepable: str = ""

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
            if not isinstance(value, str):
                raise InvalidParameter(self.name, value, "give a text")
            if self.choices and value not in self.choices:
                raise InvalidParameter(self.name, value, f"give one of {', '.join(self.choices)}")
            return value
        return self._check_number(value, integer=self.kind == "int", whole=value)

    def _check_number(self, value: object, *, integer: bool, whole: object) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            wanted = "an integer" if integer else "a number"
            # YAML 1.1 reads 1e-3 as a text: the likeliest cause deserves the hint.
            hint = " (in YAML write 1.0e-3, not 1e-3)" if isinstance(value, str) and _is_float(value) else ""
            raise InvalidParameter(self.name, whole, f"give {wanted}{hint}")
        if not math.isfinite(value):
            raise InvalidParameter(self.name, whole, "must be finite")
        if integer and value != int(value):
            raise InvalidParameter(self.name, whole, "give an integer")
        if self.low is not None and value < self.low:
            raise InvalidParameter(self.name, whole, f"must be at least {self.low:g}")
        if self.high is not None and value > self.high:
            raise InvalidParameter(self.name, whole, f"must be at most {self.high:g}")
        return int(value) if integer else float(value)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
