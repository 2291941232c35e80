"""What is wrong with a sweep's rungs, repeats, resources and allowed rules, whatever its base and its scene."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from f3rm_core import PARAMETERS, InvalidParameter
from sweeps.errors import Issue
from sweeps.spec.documents import suggestion
from sweeps.spec.rules import RULE_IDS

if TYPE_CHECKING:
    from sweeps.spec.sweep import SweepSpec

_RULES_LISTED = "`f3rm-sweeps check` names those that a sweep breaks, docs/rules.md all"


def check_parts(spec: SweepSpec) -> list[Issue]:
    """Everything wrong with these parts of a sweep."""
    return [*_check_rungs(spec), *_check_repeats(spec), *_check_gpus(spec), *_check_allowed(spec)]


def _check_repeats(spec: SweepSpec) -> list[Issue]:
    if spec.kind == "search" and spec.search.repeats.top and "seed" in spec.parameters:
        remedy = "every repeat would have this seed and the same result; leave it out, or give search.repeats.top 0"
        return [Issue("parameters.seed", spec.parameters["seed"], remedy)]
    return []


def _check_gpus(spec: SweepSpec) -> list[Issue]:
    gpus = spec.resources.gpus_per_trial
    if gpus is None or gpus <= 1 or gpus.is_integer():
        return []
    remedy = "Ray gives a part of one GPU, or whole ones; give at most 1, or a whole number"
    return [Issue("resources.gpus_per_trial", gpus, remedy)]


def _check_rungs(spec: SweepSpec) -> list[Issue]:
    issues = []
    for index, steps in enumerate(spec.fidelity.rungs):
        try:
            PARAMETERS["max_num_iterations"].check(steps)
        except InvalidParameter as error:
            issues.append(Issue(f"fidelity.rungs.{index}", steps, error.remedy))
    issues += [
        Issue(f"fidelity.rungs.{index + 1}", later, f"is not above the rung before it ({earlier}); give rising steps")
        for index, (earlier, later) in enumerate(itertools.pairwise(spec.fidelity.rungs))
        if later <= earlier
    ]
    fixed = spec.parameters.get("max_num_iterations")
    if spec.fidelity.rungs and fixed is not None and fixed != spec.fidelity.rungs[-1]:
        remedy = f"differs from the last of fidelity.rungs ({spec.fidelity.rungs[-1]}); give one of the two"
        issues.append(Issue("parameters.max_num_iterations", fixed, remedy))
    return issues


def _check_allowed(spec: SweepSpec) -> list[Issue]:
    return [
        Issue(f"allow.{index}", rule, f"no such rule{suggestion(rule, RULE_IDS, listed=_RULES_LISTED)}")
        for index, rule in enumerate(spec.allow)
        if rule not in RULE_IDS
    ]
