"""The searches that are compared, each as a strategy. Those at full fidelity have one rung: the last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.search.problems import Problem
from sweeps.search.history import Goal, Start, Strategy, TrialHistory
from sweeps.spec.draw import draw

if TYPE_CHECKING:
    import optuna


_ELSEWHERE = "--method: {} is not installed here; benchmarks/search/peers.sh runs it in an environment of its own"


@dataclass(frozen=True)
class Method:
    """How a search is made for a problem.

    Args:
        make: goal and number of workers -> strategy.
        uses_rungs: whether its trials report and may pause at every rung.
    """

    make: Callable[[Goal, int], Strategy]
    uses_rungs: bool = False

    def for_problem(self, problem: Problem, seed: int, workers: int) -> tuple[Strategy, tuple[int, ...]]:
        """The strategy, and the rungs at which its trials report."""
        rungs = problem.rungs if self.uses_rungs else problem.rungs[-1:]
        goal = Goal(problem.objectives, problem.space, problem.fixed, rungs, trials=10**9, seed=seed)
        return self.make(goal, workers), rungs


class ByChance:
    """Configurations drawn evenly, trained to the end."""

    def __init__(self, goal: Goal) -> None:
        self._goal, self._random = goal, Random(goal.seed)

    def next(self, history: Sequence[TrialHistory]) -> Start:
        return Start(draw(self._goal.space, self._goal.fixed, self._random), "by chance")


class OfOptuna:
    """A sampler of Optuna by ask and tell, trained to the end.

    A failed trial is told as the worst that was seen in each objective: told as failed, it teaches nothing and is
    proposed again and again. Until something was seen it waits.
    """

    def __init__(self, goal: Goal, sampler: Callable[[int], optuna.samplers.BaseSampler]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        self._goal = goal
        directions = [objective.direction for objective in goal.objectives]
        self._study = optuna.create_study(directions=directions, sampler=sampler(goal.seed))
        self._open: dict[int, optuna.Trial] = {}

    def next(self, history: Sequence[TrialHistory]) -> Start:
        from sweeps.search.sampler import suggest

        self._tell(history)
        trial = self._study.ask()
        self._open[len(history)] = trial
        return Start(suggest(trial, self._goal.space, self._goal.fixed), "asked")

    def _tell(self, history: Sequence[TrialHistory]) -> None:
        names = [(o.name, min if o.direction == "maximize" else max) for o in self._goal.objectives]
        seen = [trial.rungs[-1].metrics for trial in history if trial.state == "completed"]
        for number in sorted(self._open):
            if history[number].state == "completed":
                metrics: Mapping[str, float] = history[number].rungs[-1].metrics
            elif history[number].state == "failed" and seen:
                metrics = {name: worst(one[name] for one in seen) for name, worst in names}
            else:
                continue
            self._study.tell(self._open.pop(number), [metrics[name] for name, _ in names])


def _optuna(make: Callable[..., Any]) -> Callable[[Goal, int], Strategy]:
    return lambda goal, workers: OfOptuna(goal, lambda seed: make(seed, workers))


def _tpe(seed: int, workers: int) -> optuna.samplers.BaseSampler:
    import optuna

    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=workers > 1)


def _nsga2(seed: int, _: int) -> optuna.samplers.BaseSampler:
    import optuna

    return optuna.samplers.NSGAIISampler(seed=seed)


def _gp(seed: int, _: int) -> optuna.samplers.BaseSampler:
    import optuna

    return optuna.samplers.GPSampler(seed=seed)


def _model(goal: Goal, _: int) -> Strategy:
    from sweeps.search.model.strategy import ModelStrategy

    return ModelStrategy(goal)


def _moasha(corrected: bool) -> Callable[[Goal, int], Strategy]:
    def make(goal: Goal, _: int) -> Strategy:
        try:
            from benchmarks.search.moasha import Moasha
        except ModuleNotFoundError as error:
            raise SystemExit(_ELSEWHERE.format(error.name)) from error
        return Moasha(goal, corrected=corrected)

    return make


def _primo(goal: Goal, workers: int) -> Strategy:
    if workers > 1:
        raise SystemExit("--workers: primo runs with 1 worker; with several its trials' ids collide")
    try:
        from benchmarks.search.primo import Primo
    except ModuleNotFoundError as error:
        raise SystemExit(_ELSEWHERE.format(error.name)) from error
    return Primo(goal)


METHODS: Mapping[str, Method] = {
    "model": Method(_model, uses_rungs=True),
    "random": Method(lambda goal, _: ByChance(goal)),
    "tpe": Method(_optuna(_tpe)),
    "nsga2": Method(_optuna(_nsga2)),
    "gp": Method(_optuna(_gp)),
    "moasha": Method(_moasha(corrected=True), uses_rungs=True),
    "primo": Method(_primo, uses_rungs=True),
    "moasha-shipped": Method(_moasha(corrected=False), uses_rungs=True),
}
