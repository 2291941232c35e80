"""A trial as something to keep: a preset that repeats it, and the command that does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from sweeps.spec.presets import ROOT_PRESET, load_preset, overlay
from sweeps.store.records import SweepRecord, TrialRecord

_ALWAYS = ("seed", "threads")
"""Parameters that are written even where they equal the base's: they fix the bits of a repetition."""


def preset_yaml(sweep: SweepRecord, trial: TrialRecord, *, why: str = "") -> str:
    """A preset that repeats a trial: the sweep's base, and the parameters that differ from it, seed included.

    Args:
        sweep: the trial's sweep.
        trial: a trial whose configuration is to be kept.
        why: why this one, for the summary.

    Returns:
        YAML that `load_preset` takes; its resolved parameters are the trial's configuration.
    """
    base = str(sweep.spec["base"])
    if "/" in base or base.endswith((".yaml", ".yml", ".json")):
        base = ROOT_PRESET  # a file of the sweep's machine is not a base that others have
    lower = load_preset(base).resolved
    document = {
        "name": f"{sweep.name[:50]}-{trial.number}",
        "base": base,
        "summary": why or f"Trial {trial.number} of sweep {sweep.name} ({sweep.id}).",
        "parameters": differences(lower, trial.configuration),
    }
    lines = [f"# Trial {trial.number} of sweep {sweep.name} ({sweep.id}), trained on {sweep.spec['scene']}"]
    if trial.metrics:
        lines.append("# " + ", ".join(f"{name} {value:.5g}" for name, value in trial.metrics.items()))
    if trial.backend:
        lines.append(
            f"# with encoding {trial.backend} on {trial.device}, {trial.threads} thread(s): the same repeat it exactly"
        )
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    return "\n".join(lines) + "\n" + text


def differences(lower: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that turn a base into a configuration, in the configuration's order."""
    differing = {
        name: _plain(value)
        for name, value in configuration.items()
        if name in _ALWAYS or name not in lower or _plain(lower[name]) != _plain(value)
    }
    # A suffixed name of the base (lr_fields) that the configuration lacks: its flat name sets all places again.
    for name in sorted(set(lower) - set(configuration)):
        flat = next(other for other in configuration if name not in overlay({name: lower[name]}, {other: None}))
        differing[flat] = _plain(configuration[flat])
    return differing


def command(sweep: SweepRecord, *, preset_file: str = "winner.yaml") -> str:
    """The command line that trains an exported preset on the sweep's scene."""
    return shlex.join(["f3rm-sweeps", "train", "--preset", preset_file, "--scene", str(sweep.spec["scene"])])


def _plain(value: Any) -> Any:
    """Tuples as lists: what YAML and JSON give back."""
    return list(value) if isinstance(value, list | tuple) else value
