"""Where an exported file comes from, in comment lines that YAML and people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweeps.analysis.repeats import Spread, spreads
from sweeps.store.records import SweepRecord, TrialRecord

if TYPE_CHECKING:
    from sweeps.store.repository import Repository

SCENE_DIGEST = "scene_digest"
"""The entry of an attempt's environment that holds the scene's content."""

_NO_VERSIONS = (SCENE_DIGEST, "threads", "table_optimizer")


@dataclass(frozen=True)
class Origin:
    """What is known of a trial beside its own row.

    Args:
        environment: what the attempt that completed it noted: versions, threads, the scene's content.
        spreads: metric -> mean and spread over the seeds that its configuration ran under.
    """

    environment: Mapping[str, Any] = field(default_factory=dict)
    spreads: Mapping[str, Spread] = field(default_factory=dict)


def origin_of(repository: Repository, trial: TrialRecord) -> Origin:
    """Where a completed trial comes from."""
    completed = [other for other in repository.all_trials(trial.sweep_id) if other.state == "completed"]
    by_seed = {other.seed: other.metrics for other in completed if other.parameters == trial.parameters}
    return Origin(
        repository.attempts(trial.sweep_id, trial.number)[-1].environment,
        spreads(list(by_seed.values())) if by_seed else {},
    )


def provenance(sweep: SweepRecord, trial: TrialRecord, origin: Origin) -> str:
    """Comment lines: sweep, trial, seed, scene, metrics with their spread, what it ran on, versions.

    Args:
        sweep: the trial's sweep.
        trial: a completed trial.
        origin: from `origin_of`; what an older version did not note is left out.
    """
    environment = origin.environment
    lines = [f"Trial {trial.number} of sweep {sweep.name} ({sweep.id}), seed {trial.seed}"]
    content = f" (content {environment[SCENE_DIGEST]})" if SCENE_DIGEST in environment else ""
    lines.append(f"trained on {sweep.spec['scene']}{content}")
    if trial.metrics:
        lines.append(", ".join(f"{name} {value:.5g}" for name, value in trial.metrics.items()))
    spread = {name: each for name, each in origin.spreads.items() if each.sd is not None}
    if spread:
        count = next(iter(spread.values())).count
        means = ", ".join(f"{name} {each.mean:.5g} ± {each.sd:.2g}" for name, each in spread.items())
        lines.append(f"over {count} seeds, mean ± standard deviation: {means}")
    if trial.backend:
        lines.append(
            f"with encoding {trial.backend} on {trial.device}, {trial.threads} thread(s): the same repeat it exactly"
        )
    versions = {name: version for name, version in environment.items() if name not in _NO_VERSIONS}
    if versions:
        lines.append("by " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    return "".join(f"# {_on_one_line(line)}\n" for line in lines)


def _on_one_line(text: str) -> str:
    """A scene's name may hold a line break, and what follows it would be read as YAML."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
