"""What a search is tried on: two synthetic problems with a fidelity, and the replay of recorded learning curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from f3rm_core import Metric
from sweeps.spec.space import Dimension, FloatDimension

FIDELITIES = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Outcome:
    """What a training measures at a rung, or why it ends there."""

    metrics: Mapping[str, float]
    failure: str | None = None


class Problem(Protocol):
    """A black box with rungs. Costs are in units of one (mean) full evaluation.

    Args:
        objectives: with the reference point of the hypervolume.
        space, fixed: as a sweep gives them.
        rungs: steps; the last is a full evaluation.
        best: the largest hypervolume there is.
    """

    objectives: tuple[Metric, ...]
    space: Mapping[str, Dimension]
    fixed: Mapping[str, Any]
    rungs: tuple[int, ...]
    best: float

    def evaluate(self, parameters: Mapping[str, Any], step: int) -> Outcome: ...

    def cost(self, parameters: Mapping[str, Any], step: int) -> float:
        """From the start to a rung, earlier rungs included: resuming pays the difference."""


class Synthetic:
    """A problem of BoTorch with a fidelity s. Source: Irshad, Karsch and Doepp 2021, as in botorch 0.18.1.

    Steps are proportional to costs, as in training: full fidelity is 1000 steps, and s is what so many steps pay for.

    Args:
        dimensions: of x, each from 0 to 1.
        objectives: x and s -> values to be maximized; the reference point is (0, 0).
        best: hypervolume of the true front, found by search: BoTorch's declared maxima are wrong.
    """

    def __init__(self, dimensions: int, objectives: Callable[..., tuple[float, float]], best: float) -> None:
        self._objectives = objectives
        self.objectives = tuple(Metric(name, "maximize", "1", "") for name in ("first", "second"))
        self.space: dict[str, Dimension] = {
            f"x{index + 1}": FloatDimension(type="float", low=0.0, high=1.0) for index in range(dimensions)
        }
        self.fixed: dict[str, Any] = {}
        self.rungs = tuple(round(1000 * cost_of(s)) for s in FIDELITIES)
        self.best = best

    def evaluate(self, parameters: Mapping[str, Any], step: int) -> Outcome:
        s = FIDELITIES[self.rungs.index(step)]
        values = self._objectives(*(float(parameters[name]) for name in self.space), s)
        return Outcome({metric.name: value for metric, value in zip(self.objectives, values, strict=True)})

    def cost(self, parameters: Mapping[str, Any], step: int) -> float:
        return cost_of(FIDELITIES[self.rungs.index(step)])


def cost_of(s: float) -> float:
    """exp(4.8 s) / exp(4.8): 1 at full fidelity, 0.0082 at the lowest."""
    return math.exp(4.8 * (s - 1.0))


def branin_currin(x1: float, x2: float, s: float) -> tuple[float, float]:
    """MOMFBraninCurrin, negated as it is to be maximized."""
    u, v = 15 * x1 - 5, 15 * x2
    b = 5.1 / (4 * math.pi**2) - 0.01 * (1 - s)
    c = 5 / math.pi - 0.1 * (1 - s)
    t = 1 / (8 * math.pi) + 0.05 * (1 - s)
    branin = (21 - ((v - b * u**2 + c * u - 6) ** 2 + 10 * (1 - t) * math.cos(u) + 10)) / 22
    above = 2300 * x1**3 + 1900 * x1**2 + 2092 * x1 + 60
    below = 100 * x1**3 + 500 * x1**2 + 4 * x1 + 20
    fade = math.exp(-1 / (2 * x2)) if x2 > 0 else 0.0
    return branin, (14 - (1 - 0.1 * (1 - s) * fade) * above / below) / 15


def park(x1: float, x2: float, x3: float, x4: float, s: float) -> tuple[float, float]:
    """MOMFPark, negated as it is to be maximized."""
    x1, x3, x4 = 1 - 2 * (x1 - 0.6) ** 2, 1 - 3 * (x3 - 0.5) ** 2, 1 - (x4 - 0.8) ** 2
    a, b = 0.9 + 0.1 * s, 0.1 * (1 - s)
    t1 = (x1 + 1e-3 * (1 - s)) / 2 * math.sqrt(1 + (x2 + x3**2) * x4 / (x1**2 + 1e-4))
    t2 = (x1 + 3 * x4) * math.exp(1 + math.sin(x3))
    second = a * (5 - 2 / 3 * math.exp(x1 + x2) + x4 * math.sin(x3) * a - x3 + b) / 4 - 0.7
    return a * (t1 + t2 - b) / 22 - 0.8, second


def _replay(scene: str) -> Problem:
    from benchmarks.search.replay import RECORDINGS, Replay

    return Replay(RECORDINGS / f"{scene}.jsonl.gz")


PROBLEMS: Mapping[str, Callable[[], Problem]] = {
    "branin-currin": lambda: Synthetic(2, branin_currin, 0.5040),
    "park": lambda: Synthetic(4, park, 0.0899),
    "replay": lambda: _replay("tabletop"),
    "replay-fox": lambda: _replay("fox"),
}
