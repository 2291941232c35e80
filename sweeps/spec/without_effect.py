"""Options of a sweep that do nothing, or contradict each other, as it stands: allowed, and told."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps.errors import Issue
from sweeps.spec.sweep import Fidelity, SweepSpec

CENTURY_HOURS = 876_600.0


def without_effect(spec: SweepSpec, *, gpus: int | None = None) -> list[Issue]:
    """Each option of a sweep that changes nothing, with why.

    Args:
        spec: well formed.
        gpus: of the machine that runs it; None: not known.
    """
    return [*_in_search(spec), *_in_budget(spec, gpus), *_in_resources(spec)]


def _in_search(spec: SweepSpec) -> Iterator[Issue]:
    rungs, eta = spec.fidelity.rungs, spec.fidelity.eta
    if len(rungs) < 2 and eta != Fidelity.model_fields["eta"].default:
        there = "there are no rungs" if not rungs else "there is one rung, where all trials end"
        yield Issue("fidelity.eta", eta, f"{there}, so nothing is sorted out; give two or more rungs, or leave it out")
    top, trials = spec.search.repeats.top, spec.budget.trials
    if top > trials:
        yield Issue("search.repeats.top", top, f"at most {trials} are repeated, the number of trials; give no more")


def _in_budget(spec: SweepSpec, gpus: int | None) -> Iterator[Issue]:
    budget = spec.budget
    converged = budget.convergence
    if converged is not None and converged.units >= budget.trials:
        remedy = f"{budget.trials} trials cost no more than so many full trainings, so it ends nothing; give less"
        yield Issue("budget.convergence.units", converged.units, remedy)
    for name in ("hours", "gpu_hours", "trial_hours"):
        hours = getattr(budget, name)
        if hours is not None and hours > CENTURY_HOURS:
            yield Issue(f"budget.{name}", hours, "more than a century, so it ends nothing; give less, or leave it out")
    if budget.gpu_hours is not None and 0 in (spec.resources.gpus_per_trial, gpus):
        why = "this machine has no GPU" if spec.resources.gpus_per_trial != 0 else "resources.gpus_per_trial is 0"
        yield Issue("budget.gpu_hours", budget.gpu_hours, f"{why}, so it ends nothing; give hours")


def _in_resources(spec: SweepSpec) -> Iterator[Issue]:
    threads, cpus = spec.parameters.get("threads"), spec.resources.cpus_per_trial
    if threads is not None and threads != cpus:
        used = "all cores of the machine" if threads == 0 else f"{threads} threads"
        given = f"a trial is given {cpus} of the CPUs (resources.cpus_per_trial) and trains with {used}"
        yield Issue("parameters.threads", threads, f"{given}; give one of the two")
