"""The best configurations once more under other seeds, so that a winner is more than the luck of one."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sweeps.analysis.scenarios import choose
from sweeps.search.history import Goal, Start, TrialHistory
from sweeps.search.rungs import ranking

_NONE_YET = frozenset(("pruned", "paused"))
"""States in which a trial is no training of its configuration: what waits at a rung is stopped when the sweep ends."""


class Repeats:
    """A strategy for the time when a search is over: its best configurations again.

    Args:
        goal: what the search was after.
        top: configurations to repeat.
        seeds: trainings of each in all, the first one counted. A trial's seed comes from its number.
    """

    def __init__(self, goal: Goal, *, top: int, seeds: int) -> None:
        self._goal = goal
        self._top = top
        self._seeds = seeds

    def next(self, history: Sequence[TrialHistory]) -> Start | None:
        """See sweeps.search.history.Strategy. The winner of the default scenario comes first, whatever its rank at the
        last rung: it is the one whose lead is asked about. All are judged by their first full trainings, so that
        repeats do not change which are repeated."""
        first: dict[str, TrialHistory] = {}
        for trial in history:
            if trial.state == "completed":
                first.setdefault(_configuration(trial), trial)
        if any(trial.running_to is not None and _configuration(trial) not in first for trial in history):
            return None  # the search is not over
        ranks = ranking(list(first.values()), self._goal.rungs[-1], self._goal)
        best = [number for number, rank in ranks.items() if rank.feasible]
        if best:
            results = {trial.number: trial.rungs[-1].metrics for trial in first.values()}
            winner = choose("balanced", self._goal.objectives, results, self._goal.constraints).number
            best.sort(key=lambda number: number != winner)
        for number in best[: self._top]:
            parameters = history[number].parameters
            trainings = sum(trial.parameters == parameters and trial.state not in _NONE_YET for trial in history)
            if trainings < self._seeds:
                reason = f"{ranks[number]}: training {trainings + 1} of {self._seeds} of trial {number}'s configuration"
                return Start(parameters, reason, to_end=True)
        return None


def _configuration(trial: TrialHistory) -> str:
    return json.dumps(trial.parameters, sort_keys=True)
