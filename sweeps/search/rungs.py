"""Rungs: which waiting trial goes on, and which can no longer win. Asynchronous successive halving on any number of
objectives.

At a rung, every trial that reached it is ranked: feasible ones first, then by non-dominated sorting, then by what each
adds to the hypervolume of its layer. Of n trials the best n / eta may go on from their checkpoints; the rest wait, and
may go on later, when more trials have reached the rung. Source: Li et al. 2020 (ASHA), with the order of Schmucker et
al. 2021 (MO-ASHA), in which ours takes hypervolume instead of epsilon-net within a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweeps.analysis.pareto import order
from sweeps.search.history import OPEN, Goal, Resume, RungResult, Start, TrialHistory

_ONLY_GROW = frozenset(("train_seconds", "peak_memory_gb"))
"""Metrics that more training never lowers: a trial that broke its limit at a rung breaks it for good."""


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


class Halving:
    """Starts new trials at the lowest rung, and prefers to let a good waiting one go on.

    Args:
        goal: what the search is after.
    """

    def __init__(self, goal: Goal) -> None:
        self.goal = goal

    def next(self, history: Sequence[TrialHistory]) -> Start | Resume | None:
        """See sweeps.search.history.Strategy."""
        if len(history) < self.goal.trials:
            found = self._best_waiting(history, lambda reached: reached // self.goal.eta)
            return found or Start(None, f"trial {len(history) + 1} of {self.goal.trials}")
        # No more will come: of few, one goes on; and a worker that would idle takes the next best.
        found = self._best_waiting(history, self._rounded_up)
        if found is None and any(trial.state in ("queued", "running") for trial in history):
            found = self._best_waiting(history, lambda reached: self._rounded_up(reached) + 1)
        return found

    def _best_waiting(self, history: Sequence[TrialHistory], quota: Callable[[int], int]) -> Resume | None:
        """Of the highest rung where one may go on, the best trial that waits."""
        for step in reversed(self.goal.rungs[:-1]):
            waiting = _waiting(history, step)
            places = ranking(history, step, self.goal) if waiting else {}
            best = quota(len(places))
            for number, rank in places.items():
                if rank.place < best and number in waiting and not self._is_lost(history[number]):
                    return Resume(number, f"{rank}: the best {best} go on")
        return None

    def _rounded_up(self, reached: int) -> int:
        return -(-reached // self.goal.eta)

    def _is_lost(self, trial: TrialHistory) -> bool:
        return breaks_for_good(trial.rungs[-1], self.goal.constraints)


def ranking(history: Iterable[TrialHistory], step: int, goal: Goal) -> dict[int, Rank]:
    """Trial number -> place, the best first, of all trials that reached a rung, wherever they are now; those that
    failed beyond it have no place.

    Args:
        history: every trial.
        step: the rung.
        goal: with objectives and constraints.
    """
    reached = [
        (trial.number, rung.metrics)
        for trial in history
        for rung in trial.rungs
        if trial.state != "failed" and rung.step == step
    ]
    if not reached:
        return {}
    values = [[metrics[objective.name] for objective in goal.objectives] for _, metrics in reached]
    feasible = [goal.is_feasible(metrics) for _, metrics in reached]
    best_first = order(values, [objective.direction for objective in goal.objectives], feasible)
    return {reached[i][0]: Rank(place, len(reached), step, feasible[i]) for place, i in enumerate(best_first)}


def hopeless(history: Sequence[TrialHistory], goal: Goal) -> dict[int, str]:
    """Waiting trials that can no longer win, with the reason: their checkpoints need not be kept.

    Of the n trials that can ever reach a rung n / eta go on (rounded up), so no more than that need to wait at it; and
    a trial that broke a limit on memory or time at a rung breaks it for good. This bounds the checkpoints kept.
    """
    lost: dict[int, str] = {}
    for step in goal.rungs[:-1]:
        waiting = _waiting(history, step)
        if not waiting:
            continue
        most = -(-_can_reach(history, step, goal) // goal.eta)
        for number, rank in ranking(history, step, goal).items():
            if number not in waiting:
                continue
            if breaks_for_good(history[number].rungs[-1], goal.constraints):
                lost[number] = f"{rank}; more training lowers neither memory nor time"
            elif rank.place >= most:
                lost[number] = f"{rank}: at most {most} can go on"
    return lost


def breaks_for_good(rung: RungResult, constraints: Mapping[str, float]) -> bool:
    """Whether what was measured at a rung breaks a limit that more training can't mend."""
    return any(rung.metrics.get(name, 0.0) > limit for name, limit in constraints.items() if name in _ONLY_GROW)


def _waiting(history: Iterable[TrialHistory], step: int) -> set[int]:
    return {trial.number for trial in history if trial.state == "paused" and trial.step == step}


def _can_reach(history: Sequence[TrialHistory], step: int, goal: Goal) -> int:
    """How many trials have reached a rung or still may."""
    reached = sum(any(rung.step == step for rung in trial.rungs) for trial in history)
    below = sum(trial.state in OPEN and trial.step < step for trial in history)
    return reached + below + max(0, goal.trials - len(history))
