"""The best configurations once more under other seeds, so that a winner is more than the luck of one."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.search.history import Goal, Resume, Start, Strategy, TrialHistory
from sweeps.search.rungs import ranking


class Repeated:
    """A strategy, and once it has nothing more to do, its best configurations again.

    Args:
        strategy: what finds them.
        goal: what it is after.
        top: configurations to repeat.
        seeds: trainings of each in all, the first one counted. A trial's seed comes from its number.
    """

    def __init__(self, strategy: Strategy, goal: Goal, *, top: int, seeds: int) -> None:
        self._strategy = strategy
        self._goal = goal
        self._top = top
        self._seeds = seeds

    def next(self, history: Sequence[TrialHistory]) -> Start | Resume | None:
        """See sweeps.search.history.Strategy."""
        decision = self._strategy.next(history)
        if decision is not None:
            return decision
        found = history[: self._goal.trials]
        if any(trial.running_to is not None for trial in found):
            return None
        best = [rank for rank in ranking(found, self._goal.rungs[-1], self._goal).items() if rank[1].feasible]
        for number, rank in best[: self._top]:
            parameters = history[number].parameters
            trainings = sum(trial.parameters == parameters and trial.state != "pruned" for trial in history)
            if trainings < self._seeds:
                reason = f"{rank}: training {trainings + 1} of {self._seeds} of trial {number}'s configuration"
                return Start(parameters, reason, to_end=True)
        return None
