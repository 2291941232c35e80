"""From a sweep's spec to what decides in it: strategy, sampler, stopping rules."""

from __future__ import annotations

import logging

from sweeps.search.history import Goal, Strategy
from sweeps.search.repeats import Repeated
from sweeps.search.rungs import Halving
from sweeps.search.sampler import choose_sampler
from sweeps.search.stopping import Convergence, StopRules
from sweeps.spec.sweep import Sampler, SweepSpec

log = logging.getLogger("sweeps.driver")


def sampler_of(spec: SweepSpec, goal: Goal) -> Sampler:
    """The sampler that the spec names, or the one that suits it; the log says which and why."""
    if spec.search.sampler != "auto":
        return spec.search.sampler
    sampler, why = choose_sampler(goal)
    log.info("sampler %s: %s", sampler, why)
    return sampler


def strategy_of(spec: SweepSpec, goal: Goal) -> Strategy:
    """What starts trials, lets them go on, and repeats the best."""
    strategy: Strategy = Halving(goal)
    repeats = spec.search.repeats
    return Repeated(strategy, goal, top=repeats.top, seeds=repeats.seeds) if repeats.top else strategy


def stop_rules_of(spec: SweepSpec) -> StopRules:
    """When it ends before all of its trials have been started."""
    budget = spec.budget
    converged = budget.convergence
    return StopRules(
        hours=budget.hours,
        gpu_hours=budget.gpu_hours,
        convergence=Convergence(converged.units, converged.threshold) if converged else None,
    )
