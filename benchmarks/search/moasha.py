"""Syne Tune's MOASHA as a strategy: configurations by chance, stopped at rungs by a multi-objective order.

Needs syne-tune 0.16 in an environment of its own: `benchmarks/search/peers.sh`.

As shipped its priority returns the order of the trials (which one is first, second, ...) where ranks are read (at which
place each one is), so that other trials go on than those meant. `corrected` turns the one into the other.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import MOPriority, NonDominatedPriority

from sweeps.search.history import Goal, Resume, Start, TrialHistory
from sweeps.spec.draw import draw


class _Ranks(NonDominatedPriority):
    """The places of the trials in the order that Syne Tune returns."""

    def __call__(self, objectives: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.argsort(super().__call__(objectives))


class Moasha:
    """Resumes a trial at once where MOASHA lets it go on; one that it stops is never resumed.

    Args:
        goal: of the search; rungs are reported as 1, eta, eta^2, ..., as MOASHA's rungs are a geometric row.
        corrected: whether ranks are given where ranks are read.
    """

    def __init__(self, goal: Goal, *, corrected: bool) -> None:
        self._goal, self._random = goal, Random(goal.seed)
        np.random.seed(goal.seed)
        priority: MOPriority = _Ranks() if corrected else NonDominatedPriority()
        self._times = [goal.eta**rung for rung in range(len(goal.rungs))]
        self._signs = {o.name: -1.0 if o.direction == "maximize" else 1.0 for o in goal.objectives}
        self._scheduler = MOASHA(
            {}, list(self._signs), multiobjective_priority=priority, max_t=self._times[-1], reduction_factor=goal.eta
        )
        self._told: dict[int, int] = {}
        self._going_on: list[int] = []

    def next(self, history: Sequence[TrialHistory]) -> Start | Resume:
        for trial in history:
            if len(trial.rungs) > self._told.get(trial.number, 0):
                self._tell(trial)
        if self._going_on:
            return Resume(self._going_on.pop(0), "MOASHA lets it go on")
        return Start(draw(self._goal.space, self._goal.fixed, self._random), "by chance")

    def _tell(self, trial: TrialHistory) -> None:
        theirs = Trial(trial.number, dict(trial.parameters), datetime.datetime.now())
        if trial.number not in self._told:
            self._scheduler.on_trial_add(theirs)
        self._told[trial.number] = len(trial.rungs)
        values = {name: sign * trial.rungs[-1].metrics[name] for name, sign in self._signs.items()}
        result = {**values, "training_iteration": self._times[len(trial.rungs) - 1]}
        if trial.state == "completed":
            self._scheduler.on_trial_complete(theirs, result)
        elif self._scheduler.on_trial_result(theirs, result) == SchedulerDecision.CONTINUE:
            self._going_on.append(trial.number)
