"""Where an exported file comes from, in comment lines that YAML and people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweeps.store.records import SweepRecord, TrialRecord

if TYPE_CHECKING:
    from sweeps.store.repository import Repository

SCENE_DIGEST = "scene_digest"
"""The entry of an attempt's environment that holds the scene's content."""

_NO_VERSIONS = (SCENE_DIGEST, "threads", "table_optimizer")


def environment_of(repository: Repository, trial: TrialRecord) -> Mapping[str, Any]:
    """What the attempt that completed a trial noted: versions, threads, the scene's content."""
    return repository.attempts(trial.sweep_id, trial.number)[-1].environment


def provenance(sweep: SweepRecord, trial: TrialRecord, environment: Mapping[str, Any]) -> str:
    """Comment lines: sweep, trial, seed, scene, metrics, what it ran on, versions.

    Args:
        sweep: the trial's sweep.
        trial: a completed trial.
        environment: from `environment_of`; what an older version did not note is left out.
    """
    lines = [f"Trial {trial.number} of sweep {sweep.name} ({sweep.id}), seed {trial.seed}"]
    content = f" (content {environment[SCENE_DIGEST]})" if SCENE_DIGEST in environment else ""
    lines.append(f"trained on {sweep.spec['scene']}{content}")
    if trial.metrics:
        lines.append(", ".join(f"{name} {value:.5g}" for name, value in trial.metrics.items()))
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
