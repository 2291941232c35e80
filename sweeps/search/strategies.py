"""From a sweep's spec to what decides in it: strategy, sampler, stopping rules."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sweeps.search.history import Goal, Strategy, TrialHistory
from sweeps.search.listed import Listed
from sweeps.search.model.strategy import ModelStrategy
from sweeps.search.refusal import may_start
from sweeps.search.repeats import Repeats
from sweeps.search.rungs import Halving
from sweeps.search.sampler import choose_sampler
from sweeps.search.stopping import Convergence, StopRules
from sweeps.spec.sweep import Plan, Sampler

log = logging.getLogger("sweeps.driver")


def sampler_of(plan: Plan, goal: Goal) -> Sampler:
    """The sampler that the spec names, or the one that suits it; the log says which and why."""
    if plan.ablation is not None:
        return "random"  # which nobody asks
    if plan.spec.search.sampler != "auto":
        return plan.spec.search.sampler
    sampler, why = choose_sampler(goal)
    log.info("sampler %s: %s", sampler, why)
    return sampler


def strategy_of(
    plan: Plan, goal: Goal, sampler: Sampler, earlier: Sequence[TrialHistory] = (), *, device: str
) -> Strategy:
    """What starts trials and lets them go on.

    Args:
        plan: the sweep's.
        goal: of the sweep.
        sampler: from `sampler_of`; `model` decides itself what is started and what goes on.
        earlier: trials of earlier sweeps that the model learns from.
        device: what trials run on, "cuda" or "cpu": the memory that it would take there decides what may start.
    """
    if plan.ablation is not None:
        return Listed(plan.ablation)
    if sampler == "model":
        # A trial's seed, which its number would change, decides nothing about whether it may start.
        return ModelStrategy(
            goal, allowed=lambda p: may_start(plan, plan.configuration(p, 0), device=device), earlier=earlier
        )
    return Halving(goal)


def repeats_of(plan: Plan, goal: Goal) -> Repeats | None:
    """What trains the best configurations again once the search is over; None where nobody asked for it."""
    repeats = plan.spec.search.repeats
    return Repeats(goal, top=repeats.top, seeds=repeats.seeds) if repeats.top else None


def stop_rules_of(plan: Plan) -> StopRules:
    """When it ends before all of its trials have been started."""
    budget = plan.spec.budget
    converged = budget.convergence
    return StopRules(
        hours=budget.hours,
        gpu_hours=budget.gpu_hours,
        convergence=Convergence(converged.units, converged.threshold) if converged else None,
    )
