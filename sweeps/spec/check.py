"""What the rules say of a configuration, and of which part of a sweep's space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

from f3rm_core import InvalidParameter, check_parameters, check_weight_file
from sweeps.errors import MISSING, InvalidSpec, Issue
from sweeps.spec.draw import draw
from sweeps.spec.finding import Finding
from sweeps.spec.memory import Memory, memory_of
from sweeps.spec.presets import ROOT_PRESET, Preset, resolve_preset
from sweeps.spec.rules import IMPOSSIBLE, RULES
from sweeps.spec.sweep import Plan, check_spec, parse_spec

SAMPLES = 512
"""Configurations drawn from a space: a share of 1% is missed by one check in 170."""
MEMORY_SAMPLES = 64
"""Of these, so many are predicted for their memory: a prediction takes milliseconds."""
_SEED = 0


@dataclass(frozen=True)
class Checked:
    """A configuration or a space after the rules.

    Args:
        name: of the preset or the sweep.
        kind: what was checked.
        samples: configurations looked at.
        forbidden: share of them that breaks an error which is not allowed; with memory's, at least the larger share.
        findings: errors first, by share.
        memory: the largest predicted peak; None: nothing could be predicted, or nobody asked.
    """

    name: str
    kind: Literal["configuration", "space"]
    samples: int
    forbidden: float
    findings: tuple[Finding, ...]
    memory: Memory | None = None

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
) -> Checked:
    """Check a sweep (a document with a `space`) or a preset, of which `name` and `base` may be left out.

    Args:
        document: what a user wrote.
        where: its name, for errors.
        scene_root: folder that relative scene paths start from.
        gpu_memory_gb: as in `check_preset`.

    Raises:
        UsageError: it can't work whatever the rules say.
    """
    if "space" in document:
        plan = check_spec(parse_spec(document, where=where), scene_root=scene_root)
        return check_space(plan, gpu_memory_gb=gpu_memory_gb)
    preset = resolve_preset({"name": "configuration", "base": ROOT_PRESET, **document}, where=where)
    return check_preset(preset, gpu_memory_gb=gpu_memory_gb)


def check_configuration(configuration: Mapping[str, Any], *, name: str = "") -> Checked:
    """Run every rule on one configuration.

    Args:
        configuration: every parameter's value.
        name: what it is called.
    """
    return _checked(name, "configuration", [list(_broken(configuration, ()))])


def check_space(plan: Plan, *, gpu_memory_gb: float | None = None) -> Checked:
    """`check_plan`, and the memory of some of the configurations drawn."""
    drawn = list(_drawn(plan, MEMORY_SAMPLES))
    return _with_memory(check_plan(plan), memory_of(drawn, plan.scene, gpu_memory_gb))


def check_plan(plan: Plan, *, samples: int = SAMPLES) -> Checked:
    """Run every rule on configurations drawn from a sweep's space, the same at every call.

    Args:
        plan: a checked sweep.
        samples: how many to draw.
    """
    broken = [list(_broken(each, plan.spec.allow)) for each in _drawn(plan, samples)]
    return _checked(plan.spec.name, "space", broken)


def _drawn(plan: Plan, samples: int) -> Iterator[dict[str, Any]]:
    random = Random(_SEED)
    return (plan.configuration(draw(plan.spec.space, plan.fixed, random), number) for number in range(samples))


def _with_memory(checked: Checked, memory: Memory | None) -> Checked:
    """With its finding among the errors."""
    if memory is None or memory.finding is None:
        return replace(checked, memory=memory)
    findings = tuple(sorted((memory.finding, *checked.findings), key=_order))
    return replace(checked, memory=memory, findings=findings, forbidden=max(checked.forbidden, memory.share_over))


def refuse_errors(plan: Plan) -> None:
    """Refuse a sweep of which a part of the space breaks an error that it does not allow.

    Raises:
        InvalidSpec: names the parameters, the share, and how to allow it.
    """
    checked = check_plan(plan)
    issues = []
    for finding in checked.findings:
        if finding.refuses:
            varied = [name for name in finding.parameters if name in plan.spec.space]
            field = f"space.{varied[0]}" if varied else f"parameters.{next(iter(finding.parameters))}"
            part = "all" if finding.share == 1 else share_text(finding.share)
            remedy = f"{part} of the space breaks {finding.rule}: {finding}, or give allow: [{finding.rule}]"
            issues.append(Issue(field, MISSING, remedy))
    if issues:
        raise InvalidSpec(issues)


def share_text(share: float) -> str:
    """A share in percent, with two digits."""
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.2g}%"


def launch_error(configuration: Mapping[str, Any], allow: Sequence[str]) -> Finding | None:
    """Why one trial must not start: the first error that its sweep does not allow, or values that can't be built."""
    found = _broken(configuration, allow)
    return next((finding for finding in found if finding.refuses or finding.rule == IMPOSSIBLE), None)


def _checked(name: str, kind: Literal["configuration", "space"], broken: Sequence[Sequence[Finding]]) -> Checked:
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
