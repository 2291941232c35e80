"""Which checkpoints a sweep keeps: those of the front, and of trials that wait or run. The rest are removed, so that
disk use is bounded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sweeps.analysis.pareto import front_of
from sweeps.search.history import OPEN, Goal
from sweeps.store.driving import DrivenSweep
from sweeps.store.records import TrialRecord


class KeptCheckpoints:
    """Removes what is no longer of use; a look costs what the front is long, however many trials there are.

    Args:
        held: the sweep; its store forgets what is removed.
        goal: objectives and constraints.
        trial_folder: number -> the trial's folder.
    """

    def __init__(self, held: DrivenSweep, goal: Goal, trial_folder: Callable[[int], Path]) -> None:
        self._held = held
        self._goal = goal
        self._trial_folder = trial_folder
        self._front: dict[int, TrialRecord] = {}
        for trial in held.trials():  # an earlier driver may have died before it removed one
            if trial.state not in OPEN:
                self.note_end(trial)

    def note_end(self, trial: TrialRecord) -> None:
        """A trial ended: keep its checkpoint if it is on the front, and drop those that it beats. A dominated trial
        never comes back to the front; one that breaks a constraint is never on it."""
        if trial.state == "completed" and self._goal.is_feasible(trial.metrics):
            candidates = {**self._front, trial.number: trial}
            results = {number: one.metrics for number, one in candidates.items()}
            self._front = {number: candidates[number] for number in front_of(self._goal.objectives, results)}
            gone = [one for number, one in candidates.items() if number not in self._front]
        else:
            gone = [trial]
        for one in gone:
            if one.state == "completed" and one.checkpoint:
                self._held.drop_checkpoint(one.number)
            shutil.rmtree(self._trial_folder(one.number) / "checkpoints", ignore_errors=True)
