"""`kind: ablation`: trials that are listed, not proposed. Each arm changes something at a base; all see the same seeds.

Trials go seed by seed, the base first: an ablation that is stopped early has whole rounds to compare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from f3rm_core import PARAMETERS, InvalidParameter
from sweeps.errors import MISSING, Issue
from sweeps.spec.claim_table import CLAIMS, change_of
from sweeps.spec.claims import at_base
from sweeps.spec.documents import no_such_parameter, suggestion
from sweeps.spec.space import CategoricalDimension, Dimension

if TYPE_CHECKING:
    from sweeps.spec.sweep import SweepSpec

BASE_ARM = "base"
ALL = "all"
MIN_SEEDS, MAX_SEEDS = 2, 30
"""One seed says nothing of chance; the intervals' table ends at thirty."""
MAX_ARMS = 256
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Arm:
    """A named set of values over the base's; the base itself has none."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Ablation:
    """The trials of an ablation.

    Args:
        arms: the base first.
        seeds: how many trials each arm has.
    """

    arms: tuple[Arm, ...]
    seeds: int

    @classmethod
    def of(cls, spec: SweepSpec) -> Ablation | None:
        """The ablation that a checked spec asks for; None where it asks for a search."""
        if spec.kind != "ablation":
            return None
        return cls((Arm(BASE_ARM, {}), *(Arm(name, values) for name, values in spec.arms.items())), spec.seeds)

    @property
    def trials(self) -> int:
        """How many trials there are."""
        return len(self.arms) * self.seeds

    def arm(self, number: int) -> Arm:
        """The arm of a trial."""
        return self.arms[number % len(self.arms)]

    def seed_index(self, number: int) -> int:
        """Which of the seeds a trial has: the same one in every arm."""
        return number // len(self.arms)

    def space(self, fixed: Mapping[str, Any]) -> dict[str, Dimension]:
        """What arms vary, as choices: the base's value and those of the arms.

        Args:
            fixed: the base's values.
        """
        names = dict.fromkeys(name for arm in self.arms for name in arm.values)
        choices = {name: [_plain(fixed[name])] if name in fixed else [] for name in names}
        for arm in self.arms:
            for name, value in arm.values.items():
                if value not in choices[name]:
                    choices[name].append(value)
        return {name: CategoricalDimension(type="categorical", choices=values) for name, values in choices.items()}


def check_ablation(spec: SweepSpec) -> list[Issue]:
    """Everything wrong with a spec's arms, claims and seeds that can be seen without its base."""
    if spec.kind != "ablation":
        given: dict[str, Any] = {"arms": spec.arms, "claims": spec.claims}
        if spec.seeds != type(spec).model_fields["seeds"].default:
            given["seeds"] = spec.seeds
        remedy = "is part of an ablation; give kind: ablation, or leave it out"
        return [Issue(name, value, remedy) for name, value in given.items() if value]
    issues = []
    if spec.space:
        issues.append(Issue("space", MISSING, "an ablation lists its trials; give arms or claims, or kind: search"))
    if not spec.arms and not spec.claims:
        issues.append(Issue("arms", MISSING, "give arms, claims or both: an ablation compares them with its base"))
    if len(spec.arms) > MAX_ARMS:
        issues.append(Issue("arms", MISSING, f"{len(spec.arms)} arms; give at most {MAX_ARMS}"))
    if len(spec.fidelity.rungs) > 1:
        remedy = "an ablation trains every arm to its end; give one number, the base's training steps"
        issues.append(Issue("fidelity.rungs", spec.fidelity.rungs, remedy))
    issues += _check_search(spec)
    for index, claim in enumerate(spec.claims):
        if claim != ALL and claim not in CLAIMS:
            issues.append(Issue(f"claims.{index}", claim, f"no such claim{suggestion(claim, CLAIMS)}"))
        elif claim in spec.claims[:index]:
            issues.append(Issue(f"claims.{index}", claim, "is given twice"))
    for name, values in spec.arms.items():
        issues += _check_arm(name, values)
    return issues


def _check_search(spec: SweepSpec) -> list[Issue]:
    """Parts of a search that an ablation has none of."""
    issues = []
    warm, repeats = spec.search.warm_start, spec.search.repeats
    if warm.presets or warm.sweeps:
        issues.append(Issue("search.warm_start", warm.model_dump(), "an ablation proposes nothing; leave it out"))
    if repeats.top:
        remedy = "an ablation trains every arm under its seeds; give seeds, and leave this out"
        issues.append(Issue("search.repeats", repeats.model_dump(), remedy))
    if "seed" in spec.parameters:
        issues.append(Issue("parameters.seed", spec.parameters["seed"], "an ablation varies it; give search.seed"))
    return issues


def resolve(spec: SweepSpec, fixed: Mapping[str, Any]) -> tuple[SweepSpec, list[Issue]]:
    """An ablation with the arms of its claims spelled out at its base, and its number of trials.

    Of `all` claims those are left out whose arms can't be had at this base, or change nothing there. What it returns
    gives itself again: a sweep that was stored keeps its arms whatever the claims say later. An arm that the spec has
    under the name of a claim's arm is used in its place.

    Args:
        spec: checked, of kind ablation.
        fixed: the base's values.
    """
    claims = list(CLAIMS) if ALL in spec.claims else spec.claims
    asked: dict[str, dict[str, Any]] = {}
    issues = []
    for index, claim in enumerate(claims):
        arm = CLAIMS[claim].arm
        if not arm or arm in spec.arms or arm in asked:
            continue
        try:
            asked[arm] = at_base(change_of(arm), fixed)
            why = "changes nothing at this base"
        except InvalidParameter as error:
            asked[arm], why = {}, f"can't be had at this base: {error}"
        if not asked[arm] and ALL not in spec.claims:
            remedy = f"its arm {arm} {why}; leave it out, or give the arm {arm} under arms"
            issues.append(Issue(f"claims.{index}", claim, remedy))
    for name, values in spec.arms.items():
        if all(_plain(fixed.get(each)) == _plain(value) for each, value in values.items()):
            issues.append(Issue(f"arms.{name}", dict(values), "changes nothing at this base; leave it out"))
    written = {name: _in_own_types(values) for name, values in spec.arms.items()}
    arms = {**written, **{name: _in_own_types(values) for name, values in asked.items() if values}}
    kept = [claim for claim in claims if not CLAIMS[claim].arm or CLAIMS[claim].arm in arms]
    if not arms and not issues:
        issues.append(
            Issue("claims", spec.claims, "none of them has an arm to train; `f3rm-sweeps claims` lists those that do")
        )
    resolved = spec.model_copy(update={"arms": arms, "claims": kept})
    trials = (len(arms) + 1) * spec.seeds
    if "trials" in spec.budget.model_fields_set and spec.budget.trials != trials:
        remedy = f"an ablation's trials follow from its arms and seeds ({len(arms) + 1} x {spec.seeds}); leave it out"
        issues.append(Issue("budget.trials", spec.budget.trials, remedy))
    return resolved.model_copy(update={"budget": spec.budget.model_copy(update={"trials": trials})}), issues


def _check_arm(name: str, values: Mapping[str, Any]) -> list[Issue]:
    field = f"arms.{name}"
    if name == BASE_ARM:
        return [Issue(field, MISSING, "the base is always an arm; give this one another name")]
    if not _ARM_NAME.fullmatch(name):
        return [Issue("arms", name, "an arm's name has letters, digits, '.', '_' and '-' only, at most 64")]
    if not values:
        return [Issue(field, MISSING, "is empty; give at least one parameter and its value")]
    issues = []
    for parameter, value in values.items():
        place = f"{field}.{parameter}"
        if parameter not in PARAMETERS:
            issues.append(Issue(place, value, no_such_parameter(parameter)))
            continue
        reason = PARAMETERS[parameter].not_sweepable
        if reason and parameter not in _ALSO_IN_ARMS:
            issues.append(Issue(place, value, f"can't be an arm's: {reason}"))
            continue
        try:
            PARAMETERS[parameter].check(value)
        except InvalidParameter as error:
            issues.append(Issue(place, value, error.remedy))
    return issues


# Not a search's to vary; an arm may: it is what the guide's presets change, and what shows that something is idle.
_ALSO_IN_ARMS = ("max_num_iterations", "orientation_loss_mult", "pred_normal_loss_mult")


def _in_own_types(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(PARAMETERS[name].check(value)) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Tuples as lists: what YAML and JSON give back."""
    return list(value) if isinstance(value, list | tuple) else value
