"""Which checkpoints a sweep keeps: those of trials that can win a scenario, and of trials that wait or run. The rest
are removed, so that disk use is bounded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from sweeps.analysis.repeats import group_repeats, mean_results
from sweeps.analysis.scenarios import contenders
from sweeps.search.history import OPEN, Goal
from sweeps.spec.sweep import Plan
from sweeps.store.driving import DrivenSweep
from sweeps.store.records import TrialRecord


class KeptCheckpoints:
    """Removes what is no longer of use; a look costs what can win, however many trials there are.

    A configuration that ran under several seeds competes by its means, as in `Outcome.winner`, with the checkpoint of
    its first trial. Until the sweep has ended those that will run again may turn out worse than they look: so many
    more are kept behind the best.

    Args:
        held: the sweep; its store forgets what is removed.
        plan: the sweep's.
        trial_folder: number -> the trial's folder.
    """

    def __init__(self, held: DrivenSweep, plan: Plan, trial_folder: Callable[[int], Path]) -> None:
        self._held = held
        self._goal = Goal.of(plan)
        self._spare = plan.repeated
        self._trial_folder = trial_folder
        self._runs: dict[str, dict[int, TrialRecord]] = {}  # a configuration's parameters -> its completed trials
        self._means: dict[int, Mapping[str, float]] = {}  # first trial of a configuration that can win -> its means
        self._kept: set[int] = set()
        for trial in held.trials():  # an earlier driver may have died before it removed one
            if trial.state not in OPEN:
                self._see(trial)
        self._remove_beaten()

    def note_end(self, trial: TrialRecord) -> None:
        """A trial ended: keep its checkpoint if it can win, and drop those that no longer can."""
        self._see(trial)
        self._remove_beaten()

    def close(self) -> None:
        """All trials have ended: no result will change any more."""
        self._spare = 0
        self._remove_beaten()

    def _see(self, trial: TrialRecord) -> None:
        if trial.checkpoint is not None:
            self._kept.add(trial.number)
        else:
            self._remove_files(trial.number)
        if trial.state != "completed":
            return
        runs = self._runs.setdefault(json.dumps(trial.parameters, sort_keys=True), {})
        runs[trial.number] = trial
        for number in runs:
            self._means.pop(number, None)
        groups = group_repeats(
            {number: run.parameters for number, run in runs.items()},
            {number: run.seed for number, run in runs.items()},
        )
        self._means.update(mean_results(groups, {number: run.metrics for number, run in runs.items()}))

    def _remove_beaten(self) -> None:
        can_win = contenders(self._goal.objectives, self._means, self._goal.constraints, spare=self._spare)
        self._means = {number: self._means[number] for number in can_win}
        for number in self._kept - can_win:
            self._held.drop_checkpoint(number)
            self._remove_files(number)
        self._kept &= can_win

    def _remove_files(self, number: int) -> None:
        shutil.rmtree(self._trial_folder(number) / "checkpoints", ignore_errors=True)
