"""What a search knows when it decides what runs next, and what it may decide: plain values, no Ray, Optuna or store.

The driver fills it from the store; a simulation fills it from its own clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from f3rm_core import Metric
from sweeps.spec.objectives import excess, is_feasible
from sweeps.spec.space import Dimension
from sweeps.spec.sweep import Plan
from sweeps.store.records import RungRecord, TrialRecord

OPEN = frozenset(("queued", "running", "paused"))
"""States of a trial whose last word is not spoken."""


@dataclass(frozen=True)
class RungResult:
    """What a trial measured at a rung.

    Args:
        step: training steps done.
        metrics: metric -> value, finite.
        seconds: training time since the trial's first step, earlier rungs included: the cost so far.
    """

    step: int
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class TrialHistory:
    """A trial as a search sees it.

    Args:
        number: in our tables.
        parameters: values of the space's active dimensions.
        state: of sweeps.store.states.TrialState.
        rungs: what it measured, by step; the last one of a completed trial is its result.
        running_to: the step at which a queued or running trial will report next.
        failure_reason: why it failed.
        seconds: what it has cost, where it failed: training to its last rung, and the attempts that reached none.
    """

    number: int
    parameters: Mapping[str, Any]
    state: str
    rungs: tuple[RungResult, ...] = ()
    running_to: int | None = None
    failure_reason: str | None = None
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """The last rung that it reached; 0 for none."""
        return self.rungs[-1].step if self.rungs else 0


@dataclass(frozen=True)
class Goal:
    """What a search is after.

    Args:
        objectives: metrics with their directions.
        space: parameter -> dimension.
        fixed: every other parameter's value, for conditions.
        rungs: training steps at which trials report; the last is a full training.
        eta: of the trials at a rung, one in so many goes on.
        constraints: metric -> the most (or the least, where more is better) that counts as feasible.
        trials: how many may be started in all.
        seed: of every choice by chance.
    """

    objectives: tuple[Metric, ...]
    space: Mapping[str, Dimension]
    fixed: Mapping[str, Any]
    rungs: tuple[int, ...]
    eta: int = 3
    constraints: Mapping[str, float] = field(default_factory=dict)
    trials: int = 20
    seed: int = 0

    @classmethod
    def of(cls, plan: Plan) -> Goal:
        """What a checked sweep is after."""
        spec = plan.spec
        return cls(
            objectives=plan.objectives,
            space=plan.space,
            fixed=plan.fixed,
            rungs=plan.rungs,
            eta=spec.fidelity.eta,
            constraints=spec.constraints,
            trials=spec.budget.trials,
            seed=spec.search.seed,
        )

    def is_feasible(self, metrics: Mapping[str, float]) -> bool:
        """Whether what was measured keeps every constraint; a metric that is absent breaks its own."""
        return is_feasible(self.constraints, metrics)

    def excess(self, name: str, metrics: Mapping[str, float]) -> float:
        """How far a result lies beyond a metric's limit: see sweeps.spec.objectives.excess."""
        return excess(name, self.constraints[name], metrics)


@dataclass(frozen=True)
class Start:
    """Start a new trial.

    Args:
        parameters: values of the space's active dimensions; None: ask the sweep's Optuna sampler.
        reason: why, one line.
        to_end: train without waiting at rungs.
    """

    parameters: Mapping[str, Any] | None
    reason: str
    to_end: bool = False


@dataclass(frozen=True)
class Resume:
    """Train a paused trial on to its next rung.

    Args:
        number: the trial.
        reason: why, one line ("rank 2 of 9 at step 3000").
    """

    number: int
    reason: str


class Strategy(Protocol):
    """Chooses what a free worker does."""

    def next(self, history: Sequence[TrialHistory]) -> Start | Resume | None:
        """The best use of one free worker, or None: nothing now (wait for those that run, or the search is over).

        Args:
            history: every trial so far, by number; those that run or are queued take no part in rankings, but count
                as chosen.
        """


def recall(trial: TrialRecord, rungs: Sequence[RungRecord]) -> TrialHistory:
    """A trial of the store as a search sees it.

    Args:
        trial: the trial.
        rungs: its own, by step.
    """
    return TrialHistory(
        number=trial.number,
        parameters=trial.parameters,
        state=trial.state,
        rungs=tuple(RungResult(rung.step, rung.metrics, rung.seconds) for rung in rungs),
        running_to=trial.target_step if trial.state in ("queued", "running") else None,
        failure_reason=trial.failure_reason,
        seconds=trial.seconds or 0.0 if trial.state == "failed" else 0.0,
    )
