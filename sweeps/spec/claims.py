"""What the users' guide says that parameters do, in a form that can be measured.

A claim compares an arm with the base: the same seeds, another value of one parameter or of several. The guide speaks
of its own defaults; at a base with other values its numbers are taken in proportion (`at_base`), so that a claim can
be asked on a small machine as well. At `f3rm_default` they are the guide's own. The claims are in claim_table.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from f3rm_core import METRICS, PARAMETERS

Measure = Literal["ratio", "difference"]

_LOGARITHMS = ("log2_hashmap_size", "feat_log2_hashmap_size")


@dataclass(frozen=True)
class Region:
    """Effects that fit a statement: from low to high, both included; an end may be infinite."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        assert self.low < self.high

    def holds(self, low: float, high: float) -> bool:
        """Whether it has the whole interval."""
        return self.low <= low and high <= self.high

    def excludes(self, low: float, high: float) -> bool:
        """Whether it has nothing of the interval."""
        return high < self.low or self.high < low


@dataclass(frozen=True)
class Size:
    """A size that the guide states.

    Args:
        stated: the effect in the claim's measure.
        fits: effects that are taken for this size.
    """

    stated: float
    fits: Region


@dataclass(frozen=True)
class Claim:
    """One effect that the guide states.

    Args:
        id: its name.
        says: what the guide says, in other words.
        arm: the arm that is compared with the base; a key of ARMS. Empty where it is out of reach.
        metric: what is compared.
        measure: "ratio": arm over base, for times, memory and shares; "difference": arm minus base.
        region: effects that count as what the guide says: its direction, from the smallest effect that counts on.
        size: the size that the guide states, if it does.
        divergence_confirms: whether a training of the arm that diverges is what the guide says.
        out_of_reach: why no sweep of this project measures it; empty: it does.
    """

    id: str
    says: str
    arm: str = ""
    metric: str = ""
    measure: Measure = "difference"
    region: Region = Region()
    size: Size | None = None
    divergence_confirms: bool = False
    out_of_reach: str = ""

    def __post_init__(self) -> None:
        assert bool(self.out_of_reach) != bool(self.arm), self.id
        assert bool(self.arm) == (self.metric in METRICS), self.id
        assert self.size is None or self.region.holds(self.size.stated, self.size.stated), self.id


def at_base(change: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """A change that the guide states against its defaults, in proportion to a base's values.

    Half the default is half the base's value; a power of two (log2_hashmap_size) moves by as many steps; names and
    switches stay what they are. What is then the base's value already is left out.

    Args:
        change: parameter -> the guide's value.
        base: every parameter's value.
    """
    scaled = {name: _scaled(name, value, base[name]) for name, value in change.items()}
    return {name: value for name, value in scaled.items() if value != base[name]}


def _scaled(name: str, value: Any, base: Any) -> Any:
    parameter = PARAMETERS[name]
    default = parameter.default
    if parameter.kind not in ("int", "float") or base == default:
        return parameter.check(value)
    if name in _LOGARITHMS:
        return parameter.check(base + value - default)
    proportional = base * value / default
    return parameter.check(max(1, round(proportional)) if parameter.kind == "int" else proportional)
