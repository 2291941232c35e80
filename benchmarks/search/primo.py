"""PriMO of neural-pipeline-search as a strategy: MOASHA for as many full trainings as there are parameters, then a
Gaussian process on a weighted sum of the objectives, at full fidelity.

Needs neural-pipeline-search 0.17 in an environment of its own: `benchmarks/search/peers.sh`. Without priors, as no
method here is told where to look. Its weights are drawn once a run, as it does where none are given. One worker: with
several its ids collide, as it counts only those that have reported.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from neps.optimizers.algorithms import primo
from neps.optimizers.ask_and_tell import AskAndTell
from neps.space import HPOCategorical, HPOFloat, HPOInteger, SearchSpace

from f3rm_core import Metric
from sweeps.search.history import Goal, Resume, Start, TrialHistory
from sweeps.spec.space import CategoricalDimension, Dimension, IntDimension

_FIDELITY = "fidelity"


class Primo:
    """A diverged training is told as the worst that was seen in each objective, or the reference where that is worse.

    Args:
        goal: of the search; rungs are 1, eta, eta^2, ..., as its rungs are a geometric row.
    """

    def __init__(self, goal: Goal) -> None:
        warnings.simplefilter("ignore")
        random.seed(goal.seed)
        np.random.seed(goal.seed)
        torch.manual_seed(goal.seed)
        torch.set_num_threads(1)
        self._goal = goal
        self._times = [goal.eta**rung for rung in range(len(goal.rungs))]
        space = {name: _theirs(dimension) for name, dimension in goal.space.items()}
        space[_FIDELITY] = HPOInteger(1, self._times[-1], log=True, is_fidelity=True)
        self._search = AskAndTell(primo(SearchSpace(space), eta=goal.eta, prior_centers={}))
        self._numbers: dict[str, int] = {}  # their configuration -> our trial
        self._open = ""
        self._worst = [_minimized(objective, objective.reference) for objective in goal.objectives]

    def next(self, history: Sequence[TrialHistory]) -> Start | Resume:
        if self._open:
            self._tell(history[self._numbers[_configuration(self._open)]])
        while True:
            asked = self._search.ask()
            self._open = asked.id
            number = self._numbers.setdefault(_configuration(asked.id), len(history))
            if number == len(history):
                parameters = {name: asked.config[name] for name in self._goal.space}
                return Start(parameters, "asked", to_end=asked.config[_FIDELITY] == self._times[-1])
            if history[number].state == "paused":
                return Resume(number, "PriMO lets it go on")
            self._tell(history[number])  # it diverged at the rung below

    def _tell(self, trial: TrialHistory) -> None:
        values = self._worst
        if trial.state != "failed":
            metrics = trial.rungs[-1].metrics
            values = [_minimized(objective, metrics[objective.name]) for objective in self._goal.objectives]
            self._worst = [max(pair) for pair in zip(self._worst, values, strict=True)]
        self._search.tell(self._open, {"objective_to_minimize": values})


def _configuration(trial_id: str) -> str:
    """The name of a configuration at full fidelity only is its number; with rungs it is the number and the rung."""
    return trial_id.split("_", maxsplit=1)[0] if "_" in trial_id else f"full-{trial_id}"


def _minimized(objective: Metric, value: float) -> float:
    return -value if objective.direction == "maximize" else value


def _theirs(dimension: Dimension) -> HPOCategorical | HPOFloat | HPOInteger:
    if isinstance(dimension, CategoricalDimension):
        return HPOCategorical(list(dimension.choices))
    kind = HPOInteger if isinstance(dimension, IntDimension) else HPOFloat
    return kind(dimension.low, dimension.high, log=dimension.log)
