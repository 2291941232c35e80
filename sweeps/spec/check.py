"""What the rules say of a configuration, and of which part of a sweep's space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

from f3rm_core import InvalidParameter, check_parameters, check_weight_file
from sweeps.errors import MISSING, InvalidSpec, Issue
from sweeps.spec.ablation import Ablation, Arm
from sweeps.spec.capacity import check_here, gpus_here
from sweeps.spec.draw import draw
from sweeps.spec.finding import Finding
from sweeps.spec.memory import Memory, memory_of
from sweeps.spec.presets import ROOT_PRESET, Preset, resolve_preset
from sweeps.spec.rules import IMPOSSIBLE, RULES
from sweeps.spec.sharing import Sharing, share_gpus
from sweeps.spec.size import few_configurations
from sweeps.spec.sweep import Plan, SweepSpec, check_spec, parse_spec
from sweeps.spec.without_effect import without_effect

SAMPLES = 512
"""Configurations drawn from a space: a share of 1% is missed by one check in 170."""
MEMORY_SAMPLES = 64
"""Of these, so many are predicted for their memory: a prediction takes milliseconds."""
_SEED = 0
Kind = Literal["configuration", "space", "arms"]


@dataclass(frozen=True)
class Checked:
    """A configuration or a space after the rules.

    Args:
        name: of the preset or the sweep.
        kind: what was checked: one configuration, a search's space, or the arms of an ablation.
        samples: configurations looked at.
        forbidden: share of them that breaks an error which is not allowed; with memory's, at least the larger share.
        findings: errors first, by share.
        memory: the largest predicted peak; None: nothing could be predicted, or nobody asked.
        sharing: how many of a sweep's trials would share the GPU asked about; None: nobody asked, or the sweep says it.
        warnings: what else to beware of in a sweep, beside its parameters' values, one line each.
    """

    name: str
    kind: Kind
    samples: int
    forbidden: float
    findings: tuple[Finding, ...]
    memory: Memory | None = None
    sharing: Sharing | None = None
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a sweep of it starts."""
        return not any(finding.refuses for finding in self.findings)


def check_preset(preset: Preset, *, gpu_memory_gb: float | None = None) -> Checked:
    """Run every rule on a preset's configuration, and predict its memory on a typical scene.

    Args:
        preset: what to check.
        gpu_memory_gb: of a GPU that it must fit; None: no limit, and memory is that of this machine.

    Raises:
        InvalidParameter: it names a weight file that is not there.
        UsageError: an amount of memory that is none.
    """
    check_weight_file(preset.resolved)
    checked = check_configuration(preset.resolved, name=preset.name)
    return _with_memory(checked, memory_of([preset.resolved], None, gpu_memory_gb))


def check_document(
    document: Mapping[str, Any],
    *,
    where: str = "",
    scene_root: Path | None = None,
    gpu_memory_gb: float | None = None,
    runs_here: bool = False,
    check_earlier: Callable[[SweepSpec], object] | None = None,
) -> Checked:
    """Check a sweep or a preset, of which `name` and `base` may be left out.

    Args:
        document: what a user wrote.
        where: its name, for errors.
        scene_root: folder that relative scene paths start from.
        gpu_memory_gb: as in `check_preset`.
        runs_here: as in `check_sweep`.
        check_earlier: refuses a sweep that starts from one that is not there; None: nobody can tell.

    Raises:
        UsageError: it can't work whatever the rules say.
    """
    if is_sweep(document):
        plan = check_spec(parse_spec(document, where=where), scene_root=scene_root)
        if check_earlier is not None:
            check_earlier(plan.spec)
        return check_sweep(plan, gpu_memory_gb=gpu_memory_gb, runs_here=runs_here)
    preset = resolve_preset({"name": "configuration", "base": ROOT_PRESET, **document}, where=where)
    return check_preset(preset, gpu_memory_gb=gpu_memory_gb)


def is_sweep(document: Mapping[str, Any]) -> bool:
    """Whether a document is a sweep's, by the parts that no preset has."""
    return not document.keys().isdisjoint(("kind", "space", "arms", "claims"))


def check_configuration(configuration: Mapping[str, Any], *, name: str = "") -> Checked:
    """Run every rule on one configuration.

    Args:
        configuration: every parameter's value.
        name: what it is called.
    """
    return _checked(name, "configuration", [list(_broken(configuration, ()))])


def check_sweep(plan: Plan, *, gpu_memory_gb: float | None = None, runs_here: bool = False) -> Checked:
    """`check_plan`, and the memory of some of the configurations drawn, or of all arms.

    Args:
        plan: a checked sweep.
        gpu_memory_gb: as in `check_preset`.
        runs_here: whether its trials would run on this machine; what it lacks for one is then a warning.
    """
    memory = memory_of(memory_samples(plan), plan.scene, gpu_memory_gb)
    lacking = check_here(plan.spec.resources) if runs_here else []
    warnings = (*map(str, lacking), *_without_effect(plan, runs_here))
    checked = replace(_with_memory(check_plan(plan), memory), warnings=warnings)
    if gpu_memory_gb is None or plan.spec.resources.gpus_per_trial is not None:
        return checked
    return replace(checked, sharing=share_gpus(plan, memory.peaks_gb if memory else (), gpu_memory_gb))


def _without_effect(plan: Plan, runs_here: bool) -> list[str]:
    idle = without_effect(plan.spec, gpus=gpus_here() if runs_here else None)
    return [str(issue) for issue in (*idle, *few_configurations(plan))]


def memory_samples(plan: Plan) -> list[dict[str, Any]]:
    """Configurations that stand for a sweep where memory is predicted: drawn from its space, or all its arms."""
    if plan.ablation is None:
        return list(_drawn(plan, MEMORY_SAMPLES))
    return [plan.configuration(arm.values, number) for number, arm in enumerate(plan.ablation.arms)]


def check_plan(plan: Plan, *, samples: int = SAMPLES) -> Checked:
    """Run every rule on configurations drawn from a search's space, the same at every call, or on an ablation's arms.

    Args:
        plan: a checked sweep.
        samples: how many to draw.
    """
    spec = plan.spec
    if plan.ablation is not None:
        return _checked(spec.name, "arms", [found for _, found in _broken_arms(plan, plan.ablation)])
    return _checked(spec.name, "space", [list(_broken(each, spec.allow)) for each in _drawn(plan, samples)])


def _drawn(plan: Plan, samples: int) -> Iterator[dict[str, Any]]:
    random = Random(_SEED)
    return (plan.configuration(draw(plan.spec.space, plan.fixed, random), number) for number in range(samples))


def _with_memory(checked: Checked, memory: Memory | None) -> Checked:
    """With its finding among the errors."""
    if memory is None or memory.finding is None:
        return replace(checked, memory=memory)
    findings = tuple(sorted((memory.finding, *checked.findings), key=_order))
    return replace(checked, memory=memory, findings=findings, forbidden=max(checked.forbidden, memory.share_over))


def refuse_errors(plan: Plan, *, runs_here: bool = False) -> list[str]:
    """Refuse a sweep of which a part of the space breaks an error that it does not allow.

    Args:
        plan: a checked sweep.
        runs_here: whether its trials will run on this machine; one that lacks what a trial needs is then refused.

    Returns:
        What else was found, one line each: warnings, errors that are allowed, and options without effect.

    Raises:
        InvalidSpec: names the parameters, the share, and how to allow it.
    """
    if runs_here and (lacking := check_here(plan.spec.resources)):
        raise InvalidSpec(lacking)
    idle = _without_effect(plan, runs_here)
    if plan.ablation is not None:
        return _refuse_arms(plan, plan.ablation) + idle
    checked = check_plan(plan)
    issues, warnings = [], []
    for finding in checked.findings:
        part = "all" if finding.share == 1 else share_text(finding.share)
        said = f"{part} of the space breaks {finding.rule}: {finding}"
        if finding.refuses:
            varied = [name for name in finding.parameters if name in plan.spec.space]
            field = f"space.{varied[0]}" if varied else f"parameters.{next(iter(finding.parameters))}"
            issues.append(Issue(field, MISSING, f"{said}, or give allow: [{finding.rule}]"))
        else:
            warnings.append(said)
    if issues:
        raise InvalidSpec(issues)
    return warnings + idle


def _refuse_arms(plan: Plan, ablation: Ablation) -> list[str]:
    issues, warnings = [], []
    for arm, found in _broken_arms(plan, ablation):
        for finding in found:
            if finding.refuses:
                allow = "" if finding.rule == IMPOSSIBLE else f", or give allow: [{finding.rule}]"
                issues.append(Issue(f"arms.{arm.name}", MISSING, f"breaks {finding.rule}: {finding}{allow}"))
            else:
                warnings.append(f"arm {arm.name} breaks {finding.rule}: {finding}")
    if issues:
        raise InvalidSpec(issues)
    return warnings


def _broken_arms(plan: Plan, ablation: Ablation) -> list[tuple[Arm, list[Finding]]]:
    """What the rules find in each arm, the base's included."""
    # Of a space the rest can be trained where a part can't be built; an arm is all that there is of it.
    allow = [rule for rule in plan.spec.allow if rule != IMPOSSIBLE]
    configurations = [(arm, plan.configuration(arm.values, number)) for number, arm in enumerate(ablation.arms)]
    return [(arm, list(_broken(configuration, allow))) for arm, configuration in configurations]


def share_text(share: float) -> str:
    """A share in percent, with two digits."""
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.2g}%"


def launch_error(configuration: Mapping[str, Any], allow: Sequence[str]) -> Finding | None:
    """Why one trial must not start: the first error that its sweep does not allow, or values that can't be built."""
    found = _broken(configuration, allow)
    return next((finding for finding in found if finding.refuses or finding.rule == IMPOSSIBLE), None)


def _checked(name: str, kind: Kind, broken: Sequence[Sequence[Finding]]) -> Checked:
    """One finding for each rule, from those of each configuration."""
    first: dict[str, Finding] = {}
    for findings in broken:
        for finding in findings:
            first.setdefault(finding.rule, finding)
    counts = Counter(finding.rule for findings in broken for finding in findings)
    found = [replace(finding, share=counts[finding.rule] / len(broken)) for finding in first.values()]
    found.sort(key=_order)
    refused = sum(any(finding.refuses for finding in findings) for findings in broken)
    return Checked(name, kind, len(broken), refused / len(broken), tuple(found))


def _order(finding: Finding) -> tuple[bool, float, str]:
    """Errors first, then by share."""
    return finding.severity != "error", -finding.share, finding.rule


def _broken(configuration: Mapping[str, Any], allow: Sequence[str]) -> Iterator[Finding]:
    """What the rules find in one configuration."""
    try:
        checked = check_parameters(configuration)
    except InvalidParameter as error:
        values = {error.name: error.value}
        remedy = "change one of them"
        yield Finding(IMPOSSIBLE, "error", 1.0, values, error.remedy, remedy, allowed=IMPOSSIBLE in allow)
        return
    for rule in RULES.values():
        if rule.breaks(checked):
            values, allowed = rule.shown(checked), rule.id in allow
            yield Finding(rule.id, rule.severity, 1.0, values, rule.message, rule.remedy, allowed=allowed)
