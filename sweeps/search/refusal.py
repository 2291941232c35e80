"""Why a configuration must not start, told before it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.spec.check import launch_error
from sweeps.spec.memory import MEMORY_LIMIT, breaks_limit, constraint_finding
from sweeps.spec.sweep import Plan


@dataclass(frozen=True)
class Refusal:
    """Why a configuration must not start.

    Args:
        message: one line.
        reason: the failure that a sampler learns from it: "invalid", or "oom" for predicted memory over the limit.
    """

    message: str
    reason: str


def may_start(plan: Plan, configuration: Mapping[str, Any], *, device: str) -> bool:
    """Whether there is no refusal: a search asks it of hundreds of configurations, where the best remedy costs tens of
    predictions for each. Arguments as `refusal_of`."""
    spec = plan.spec
    return launch_error(configuration, spec.allow) is None and (
        MEMORY_LIMIT in spec.allow or not breaks_limit(configuration, plan.scene, spec.constraints, device=device)
    )


def refusal_of(plan: Plan, configuration: Mapping[str, Any], *, device: str) -> Refusal | None:
    """Whether a rule forbids a configuration, or its predicted memory breaks the sweep's limit.

    Args:
        plan: the sweep's.
        configuration: every parameter.
        device: what trials run on, "cuda" or "cpu".
    """
    spec = plan.spec
    error, reason = launch_error(configuration, spec.allow), "invalid"
    if error is None and MEMORY_LIMIT not in spec.allow:
        error = constraint_finding(configuration, plan.scene, spec.constraints, device=device)
        reason = "oom"
    return None if error is None else Refusal(f"{error.rule}: {error}", reason)
