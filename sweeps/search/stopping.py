"""When a sweep has done enough before its trials have: its hours, its GPU-hours, or nothing more to gain. Plain values
only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.analysis.hypervolume import GrowingFront
from sweeps.search.history import OPEN, Goal, TrialHistory


@dataclass(frozen=True)
class Stop:
    """A rule that fired.

    Args:
        rule: "hours", "gpu_hours" or "convergence".
        sentence: what it saw, for `stop_reason`.
    """

    rule: str
    sentence: str

    @property
    def of_search(self) -> bool:
        """Whether it ends the search alone: the best are still trained again under other seeds."""
        return self.rule == "convergence"


def all_ended(trials: int, planned: int) -> str:
    """Why a sweep that no rule ended is over.

    Args:
        trials: that were started, repeats included.
        planned: of the budget. The model starts fewer where it finds none that is new and may start.
    """
    if trials >= planned:
        return f"all {trials} trials ended"
    return f"{trials} of {planned} trials ended: no other configuration of the space was found that may start"


@dataclass(frozen=True)
class Spent:
    """What a sweep has cost.

    Args:
        driven_seconds: time that drivers have held it.
        gpu_seconds: GPUs times seconds of all trials.
    """

    driven_seconds: float = 0.0
    gpu_seconds: float = 0.0


@dataclass(frozen=True)
class Convergence:
    """When further search hardly pays: the last trainings added next to nothing.

    The defaults stop a random search on Branin-Currin after 45 trainings (median of 60 seeds), with 91% of the
    hypervolume that 200 reach; 10 units would stop it after 24, with 83% (benchmarks/convergence.py).
    On the metrics' scales 1% is some 0.15 dB of PSNR at 25 dB, or a tenth less training time.

    Args:
        units: over what cost the gain is looked at, in full trainings: one unit is the mean training time of the
            trials that completed. Failed and stopped trials use it up as well.
        threshold: a gain of less than this share of the hypervolume so far stops the sweep.
    """

    units: float = 20.0
    threshold: float = 0.01

    def __post_init__(self) -> None:
        if not self.units > 0:
            raise ValueError(f"units={self.units:g}: must be above 0")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold={self.threshold:g}: must be between 0 and 1")


class StopRules:
    """The rules of one sweep. It remembers what it has seen, so keep one for each drive.

    A call reads trials that are new, and open ones that are another object than at the last call: those that have
    ended, and those that wait, cost nothing where the history keeps its objects.

    Args:
        hours: time that drivers have held it.
        gpu_hours: time that trials have held GPUs.
        convergence: None: no such rule.
    """

    def __init__(
        self,
        *,
        hours: float | None = None,
        gpu_hours: float | None = None,
        convergence: Convergence | None = None,
    ) -> None:
        self._hours, self._gpu_hours = hours, gpu_hours
        self._convergence = convergence
        self._progress: _Progress | None = None

    def check(self, history: Sequence[TrialHistory], goal: Goal, spent: Spent) -> Stop | None:
        """The first rule that says stop, of hours, gpu_hours, convergence.

        Args:
            history: every trial so far, by number.
            goal: the same in every call.
            spent: what the sweep has cost.
        """
        if self._progress is None:
            self._progress = _Progress(goal)
        progress = self._progress
        progress.see(history)
        if self._hours is not None and spent.driven_seconds >= self._hours * 3600:
            return Stop("hours", f"hours: its budget of {self._hours:g} hours is spent, after {len(history)} trials")
        if self._gpu_hours is not None and spent.gpu_seconds >= self._gpu_hours * 3600:
            return Stop(
                "gpu_hours",
                f"gpu_hours: its budget of {self._gpu_hours:g} GPU-hours is spent, after {len(history)} trials",
            )
        return None if self._convergence is None else _converged(self._convergence, progress)


def _converged(rule: Convergence, progress: _Progress) -> Stop | None:
    unit = progress.unit_seconds
    if unit is None:
        return None
    before = progress.hypervolume_at(progress.seconds - rule.units * unit)
    if before <= 0:  # nothing counted yet that long ago: too early to judge
        return None
    growth = progress.front.hypervolume / before - 1
    if growth >= rule.threshold:
        return None
    return Stop(
        "convergence",
        f"convergence: the hypervolume grew by {growth:.2%} over the cost of the last {rule.units:g} full trainings, "
        f"less than {rule.threshold:.2%}",
    )


class _Progress:
    """Cost and hypervolume of a sweep, taken in as its history grows.

    Results are dated by the cost at which they were first seen. Those that were there at the first look, as after a
    restart, are dated as if their trials had run one after the other.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self.front = GrowingFront(goal.objectives)
        self.seconds = 0.0
        """Training time of all trials to their last rungs, and what failed ones took beyond."""
        self._completed, self._completed_seconds = 0, 0.0
        self._spent: list[float] = []  # of each trial, by position in the history
        self._open: dict[int, TrialHistory] = {}  # position -> a trial that may still change, as last seen
        self._dates: list[float] = []  # cost at which the hypervolume grew
        self._grown: list[float] = []  # and to what

    @property
    def unit_seconds(self) -> float | None:
        """Cost of a full training; None before the first."""
        mean = self._completed_seconds / self._completed if self._completed else 0.0
        return mean if mean > 0 else None

    def hypervolume_at(self, seconds: float) -> float:
        """What it was when so much had been spent."""
        position = bisect_right(self._dates, seconds)
        return self._grown[position - 1] if position else 0.0

    def see(self, history: Sequence[TrialHistory]) -> None:
        """Take in what has changed since the last look."""
        changed = [position for position, seen in self._open.items() if history[position] is not seen]
        for position in [*changed, *range(len(self._spent), len(history))]:
            trial = history[position]
            if position == len(self._spent):
                self._spent.append(0.0)
            spent = max(trial.seconds, trial.rungs[-1].seconds if trial.rungs else 0.0)
            self.seconds += spent - self._spent[position]
            self._spent[position] = spent
            if trial.state in OPEN:
                self._open[position] = trial
            else:
                self._open.pop(position, None)
                self._end(trial, spent)

    def _end(self, trial: TrialHistory, spent: float) -> None:
        if trial.state != "completed" or not trial.rungs:
            return
        self._completed += 1
        self._completed_seconds += spent
        metrics = trial.rungs[-1].metrics
        if self._goal.is_feasible(metrics) and self.front.add(metrics) > 0:
            self._dates.append(self.seconds)
            self._grown.append(self.front.hypervolume)
