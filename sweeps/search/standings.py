"""The standings at every rung, kept as the history grows: who reached it, in what order, and who waits there."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeps.analysis.pareto import costs, order, ranks
from sweeps.search.history import OPEN, Goal, RungResult, TrialHistory

_RENEWED_AT = 64
"""An order is renewed when one in so many of its results has come or gone since; up to so many, at every one."""

_INFEASIBLE = 1 << 32
"""Layers of infeasible results come after all others."""

_Key = tuple[int, float, int]
"""Layer, place in the layer, trial: the best is the least."""


@dataclass(frozen=True)
class Rank:
    """A trial's place among those that reached a rung.

    Args:
        place: 0 is the best.
        of: trials that reached the rung.
        step: the rung.
        feasible: whether it kept every constraint there.
    """

    place: int
    of: int
    step: int
    feasible: bool

    def __str__(self) -> str:
        broken = "" if self.feasible else ", breaks a constraint"
        return f"rank {self.place + 1} of {self.of} at step {self.step}{broken}"


class Standings:
    """Every rung's results in order. What it remembers makes a look cost what has changed, not the whole history.

    Args:
        goal: with rungs, objectives and constraints.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._rungs = {step: _Rung(step, goal) for step in goal.rungs}
        self._seen = 0
        self._open: dict[int, TrialHistory] = {}  # position -> a trial that may still change, as last seen
        self._open_at: Counter[int] = Counter()  # step -> open trials that have come so far
        self._active = 0

    def see(self, history: Sequence[TrialHistory]) -> None:
        """Take in what has changed: trials that are new, and open ones that are another object than before.

        Args:
            history: every trial so far, by number; the same sweep in every call, never shorter.
        """
        changed = [position for position, seen in self._open.items() if history[position] is not seen]
        for position in [*changed, *range(self._seen, len(history))]:
            self._take(position, history[position])
        self._seen = len(history)

    @property
    def is_any_active(self) -> bool:
        """Whether a trial runs or is queued."""
        return self._active > 0

    def waiting(self, step: int) -> dict[int, TrialHistory]:
        """Trials that wait at a rung, by number."""
        return self._rungs[step].waiting

    def ranking(self, step: int) -> dict[int, Rank]:
        """Trial number -> rank, the best first."""
        rung = self._rungs[step]
        return {number: rung.rank(number) for number in rung.numbers()}

    def rank(self, number: int, step: int) -> Rank:
        """The rank of a trial that reached a rung."""
        return self._rungs[step].rank(number)

    def in_line(self, step: int) -> list[int]:
        """Trials that wait at a rung, the best first."""
        return self._rungs[step].in_line()

    def reached(self, step: int) -> int:
        """How many trials have a rank at a rung."""
        return len(self._rungs[step].results)

    def can_reach(self, step: int) -> int:
        """How many trials have reached a rung or still may."""
        below = sum(count for at, count in self._open_at.items() if at < step)
        return self._rungs[step].ever + below + max(0, self._goal.trials - self._seen)

    def _take(self, position: int, trial: TrialHistory) -> None:
        before = self._open.pop(position, None)
        if before is not None:
            self._count(before, -1)
        for result in trial.rungs[len(before.rungs) if before is not None else 0 :]:
            if result.step in self._rungs:  # a listed arm may have steps of its own
                self._rungs[result.step].add(trial.number, result)
        for result in trial.rungs if trial.state == "failed" else ():
            if result.step in self._rungs:
                self._rungs[result.step].remove(trial.number)
        if trial.state in OPEN:
            self._open[position] = trial
            self._count(trial, 1)

    def _count(self, trial: TrialHistory, by: int) -> None:
        self._open_at[trial.step] += by
        if trial.state != "paused":
            self._active += by
        elif by > 0:
            self._rungs[trial.step].join(trial)
        else:
            self._rungs[trial.step].leave(trial)


class _Rung:
    """Results at one rung in their order.

    Sorting all of them anew for each result would cost the more the more there are. So between renewals a result that
    comes goes to the end of the layer that it falls in: below all that beat it.
    """

    def __init__(self, step: int, goal: Goal) -> None:
        self._step = step
        self._goal = goal
        self.results: dict[int, RungResult] = {}
        self.waiting: dict[int, TrialHistory] = {}
        self.ever = 0
        """Trials that reached it, those that failed later included."""
        self._new: list[int] = []
        self._changes = 0
        self._keys: list[_Key] = []  # of all, sorted
        self._line: list[_Key] = []  # of those that wait, sorted
        self._joining: set[int] = set()  # wait, and have no key yet
        self._key_of: dict[int, _Key] = {}
        self._costs: NDArray[np.float64] = np.zeros((0, len(goal.objectives)))
        self._layers: NDArray[np.int64] = np.zeros(0, dtype=np.int64)  # of the rows of _costs

    def add(self, number: int, result: RungResult) -> None:
        self.ever += 1
        self.results[number] = result
        self._new.append(number)

    def remove(self, number: int) -> None:
        del self.results[number]
        self._changes += 1
        if number in self._key_of:
            del self._keys[bisect_left(self._keys, self._key_of.pop(number))]
        else:
            self._new.remove(number)

    def numbers(self) -> list[int]:
        """Trials that reached it, the best first."""
        self._settle()
        return [number for _, _, number in self._keys]

    def rank(self, number: int) -> Rank:
        self._settle()
        key = self._key_of[number]
        return Rank(bisect_left(self._keys, key), len(self._keys), self._step, key[0] < _INFEASIBLE)

    def join(self, trial: TrialHistory) -> None:
        """A trial waits from now on."""
        self.waiting[trial.number] = trial
        self._joining.add(trial.number)

    def leave(self, trial: TrialHistory) -> None:
        """A trial no longer waits."""
        del self.waiting[trial.number]
        if trial.number in self._joining:
            self._joining.remove(trial.number)
        else:
            del self._line[bisect_left(self._line, self._key_of[trial.number])]

    def in_line(self) -> list[int]:
        """Trials that wait, the best first."""
        self._settle()
        return [number for _, _, number in self._line]

    def _settle(self) -> None:
        self._changes += len(self._new)
        if self._changes * _RENEWED_AT >= max(1, len(self.results)):
            self._renew()
        else:
            for number in self._new:
                self._insert(number)
            for number in self._joining:
                insort(self._line, self._key_of[number])
        self._new.clear()
        self._joining.clear()

    def _renew(self) -> None:
        self._changes = 0
        numbers = sorted(self.results)
        values, feasible = (
            self._values(numbers),
            np.array([self._is_feasible(number) for number in numbers], dtype=bool),
        )
        directions = [objective.direction for objective in self._goal.objectives]
        self._costs, self._layers = costs(values, directions), np.zeros(len(numbers), dtype=np.int64)
        for offset, part in ((0, feasible), (_INFEASIBLE, ~feasible)):
            self._layers[part] = ranks(values[part], directions) + offset
        places = order(values, directions, feasible.tolist()) if numbers else []
        self._keys = [(int(self._layers[i]), place, numbers[i]) for place, i in enumerate(places)]
        self._key_of = {key[2]: key for key in self._keys}
        self._line = sorted(self._key_of[number] for number in self.waiting)

    def _insert(self, number: int) -> None:
        directions = [objective.direction for objective in self._goal.objectives]
        mine = costs(self._values([number]), directions)
        offset = 0 if self._is_feasible(number) else _INFEASIBLE
        alike = (self._layers >= _INFEASIBLE) == (offset > 0)
        beaten_by = alike & (self._costs <= mine).all(axis=1) & (self._costs < mine).any(axis=1)
        layer = int(self._layers[beaten_by].max()) + 1 if beaten_by.any() else offset
        self._costs, self._layers = np.vstack([self._costs, mine]), np.append(self._layers, layer)
        self._key_of[number] = key = (layer, math.inf, number)
        insort(self._keys, key)

    def _values(self, numbers: Sequence[int]) -> NDArray[np.float64]:  # [trials, objectives]
        names = [objective.name for objective in self._goal.objectives]
        rows = [[self.results[number].metrics[name] for name in names] for number in numbers]
        return np.array(rows, dtype=np.float64).reshape(len(numbers), len(names))

    def _is_feasible(self, number: int) -> bool:
        return self._goal.is_feasible(self.results[number].metrics)
