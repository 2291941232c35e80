"""The states of sweeps, trials and attempts, and which of them are final."""

from __future__ import annotations

from typing import Literal, get_args

SweepState = Literal["queued", "running", "interrupted", "completed", "failed", "cancelled"]
TrialState = Literal["queued", "running", "paused", "completed", "pruned", "failed", "cancelled"]
AttemptOutcome = Literal["running", "completed", "paused", "failed", "lost", "interrupted", "cancelled"]

RungDecision = Literal["waits", "goes on", "stopped", "completed"]

SWEEP_STATES: tuple[SweepState, ...] = get_args(SweepState)
TRIAL_STATES: tuple[TrialState, ...] = get_args(TrialState)

RESUMABLE: frozenset[SweepState] = frozenset(("interrupted", "failed", "cancelled"))
"""States that `resume` takes."""

FINISHED_SWEEP: frozenset[SweepState] = frozenset(("completed", "failed", "cancelled"))
FINISHED_TRIAL: frozenset[TrialState] = frozenset(("completed", "pruned", "failed", "cancelled"))

RETRIED_ON_RESUME: frozenset[str] = frozenset(("crashed", "lost", "timeout", "oom"))
"""Failure reasons that another try may mend. A trial that diverged or is invalid does so again: training is a pure
function of its configuration."""
