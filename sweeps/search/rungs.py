"""Rungs: which waiting trial goes on, and which can no longer win. Asynchronous successive halving on any number of
objectives.

At a rung, every trial that reached it is ranked: feasible ones first, then by non-dominated sorting, then by what each
adds to the hypervolume of its layer. Of n trials the best n / eta may go on from their checkpoints; the rest wait, and
may go on later, when more trials have reached the rung. Source: Li et al. 2020 (ASHA), with the order of Schmucker et
al. 2021 (MO-ASHA), in which ours takes hypervolume instead of epsilon-net within a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sweeps.search.history import Goal, Resume, RungResult, Start, TrialHistory
from sweeps.search.standings import Rank, Standings

_ONLY_GROW = frozenset(("train_seconds", "peak_memory_gb"))
"""Metrics that more training never lowers: a trial that broke its limit at a rung breaks it for good."""


class Halving:
    """Starts new trials at the lowest rung, and prefers to let a good waiting one go on. It remembers what it has
    seen, so keep one for each drive.

    Args:
        goal: what the search is after.
    """

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self._standings = Standings(goal)

    def next(self, history: Sequence[TrialHistory]) -> Start | Resume | None:
        """See sweeps.search.history.Strategy."""
        self._standings.see(history)
        if len(history) < self.goal.trials:
            found = self._best_waiting(lambda reached: reached // self.goal.eta)
            return found or Start(None, f"trial {len(history) + 1} of {self.goal.trials}")
        # No more will come: of few, one goes on; and a worker that would idle takes the next best.
        found = self._best_waiting(self._rounded_up)
        if found is None and self._standings.is_any_active:
            found = self._best_waiting(lambda reached: self._rounded_up(reached) + 1)
        return found

    def _best_waiting(self, quota: Callable[[int], int]) -> Resume | None:
        """Of the highest rung where one may go on, the best trial that waits."""
        for step in reversed(self.goal.rungs[:-1]):
            best = quota(self._standings.reached(step))
            for number in self._standings.in_line(step):
                rank = self._standings.rank(number, step)
                if rank.place >= best:
                    break
                if not self._is_lost(self._standings.waiting(step)[number]):
                    return Resume(number, f"{rank}: the best {best} go on")
        return None

    def _rounded_up(self, reached: int) -> int:
        return -(-reached // self.goal.eta)

    def _is_lost(self, trial: TrialHistory) -> bool:
        return breaks_for_good(trial.rungs[-1], self.goal.constraints)


def ranking(history: Sequence[TrialHistory], step: int, goal: Goal) -> dict[int, Rank]:
    """Trial number -> place, the best first, of all trials that reached a rung, wherever they are now; those that
    failed beyond it have no place.

    Args:
        history: every trial.
        step: the rung.
        goal: with objectives and constraints.
    """
    standings = Standings(goal)
    standings.see(history)
    return standings.ranking(step)


def hopeless(standings: Standings, goal: Goal) -> dict[int, str]:
    """Waiting trials that can no longer win, with the reason: their checkpoints need not be kept.

    Of the n trials that can ever reach a rung n / eta (rounded up) can wait at it, but two until one has completed: the
    first may fail. With a quota no more than that go on; a model that lets more go on takes them from those that wait.
    A trial that broke a limit on memory or time at a rung breaks it for good. This bounds the checkpoints kept.

    Args:
        standings: of the whole history.
        goal: with rungs, eta and constraints.
    """
    lost: dict[int, str] = {}
    limits = {name: limit for name, limit in goal.constraints.items() if name in _ONLY_GROW}
    least = 1 if standings.reached(goal.rungs[-1]) else 2
    for step in goal.rungs[:-1]:
        most = max(least, -(-standings.can_reach(step) // goal.eta))
        for number in reversed(standings.in_line(step)):
            rank = standings.rank(number, step)
            if rank.place < most:
                break
            lost[number] = f"{rank}: at most {most} can wait"
        for number, trial in standings.waiting(step).items() if limits else ():
            if breaks_for_good(trial.rungs[-1], limits):
                lost[number] = f"{standings.rank(number, step)}; more training lowers neither memory nor time"
    return lost


def breaks_for_good(rung: RungResult, constraints: Mapping[str, float]) -> bool:
    """Whether what was measured at a rung breaks a limit that more training can't mend."""
    return any(rung.metrics.get(name, 0.0) > limit for name, limit in constraints.items() if name in _ONLY_GROW)
