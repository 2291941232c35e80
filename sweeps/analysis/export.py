"""A trial to keep: a preset, a nerfstudio config or a run folder that repeats it; the command that does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from f3rm_core import Scene, UsageError, load_scene
from sweeps.analysis.provenance import Origin, provenance
from sweeps.settings import Settings
from sweeps.spec.presets import ROOT_PRESET, is_file, load_preset, overlay
from sweeps.store.records import SweepRecord, TrialRecord

_UNKNOWN = Origin()
_ALWAYS = ("seed", "threads")
"""Parameters that are written even where they equal the base's: they fix the bits of a repetition."""

_FOLDERS = "# `data` and `pipeline.datamanager.data` name the scene's folder on the machine that wrote this\n"


def preset_yaml(sweep: SweepRecord, trial: TrialRecord, origin: Origin = _UNKNOWN, *, why: str = "") -> str:
    """A preset that repeats a trial: the sweep's base, and the parameters that differ from it, seed included.

    Args:
        sweep: the trial's sweep.
        trial: a trial whose configuration is to be kept.
        origin: from `origin_of`.
        why: why this one, for the summary.

    Returns:
        YAML that `load_preset` takes; its resolved parameters are the trial's configuration.
    """
    base = base_of(sweep)
    lower = load_preset(base).resolved
    document = {
        "name": f"{sweep.name[:50]}-{trial.number}",
        "base": base,
        "summary": why or f"Trial {trial.number} of sweep {sweep.name} ({sweep.id}).",
        "parameters": differences(lower, trial.configuration),
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    return provenance(sweep, trial, origin) + text


def nerfstudio_config(sweep: SweepRecord, trial: TrialRecord, origin: Origin, *, settings: Settings) -> str:
    """A trial's configuration for `ns-train f3rm --load-config FILE`. Loads nerfstudio: seconds.

    Args:
        sweep, trial, origin: as for `preset_yaml`; the trial is completed.
        settings: where scenes are.

    Raises:
        SceneError: the sweep's scene is not on this machine.
    """
    from f3rm_core import nerfstudio_yaml

    scene, header = _scene(sweep, settings), provenance(sweep, trial, origin) + _FOLDERS
    return nerfstudio_yaml(trial.configuration, scene, device=str(trial.device), header=header)


def nerfstudio_run(sweep: SweepRecord, trial: TrialRecord, origin: Origin, output: Path, *, settings: Settings) -> Path:
    """A trial's trained model as a run folder of nerfstudio. Loads nerfstudio: seconds.

    Args:
        sweep, trial, origin: as for `nerfstudio_config`.
        output: nerfstudio's output folder, in which the run's own is made.
        settings: where scenes and sweeps' folders are.

    Returns:
        The run's config.yml.

    Raises:
        UsageError: the trial's checkpoint was not kept, or the run folder can't be written.
        SceneError: the sweep's scene is not on this machine.
    """
    again = f"train it again: `f3rm-sweeps export {sweep.id} --trial {trial.number} --format command` gives the command"
    if trial.checkpoint is None:
        raise UsageError(
            f"trial {trial.number} of sweep {sweep.id}: its model was not kept, as other trials beat it; {again}"
        )
    checkpoint = settings.sweep_dir(sweep.id) / trial.checkpoint
    if not checkpoint.is_file():
        raise UsageError(f"trial {trial.number} of sweep {sweep.id}: {checkpoint} is gone; {again}")
    from f3rm_core import write_nerfstudio_run

    return write_nerfstudio_run(
        trial.configuration,
        _scene(sweep, settings),
        checkpoint,
        output,
        experiment=f"{sweep.name}-{sweep.id}",
        run=f"trial-{trial.number}",
        device=str(trial.device),
        header=provenance(sweep, trial, origin),
    )


def base_of(sweep: SweepRecord) -> str:
    """The preset that an export starts from: a file of the sweep's machine, which may change, is none."""
    base = str(sweep.spec["base"])
    return ROOT_PRESET if is_file(base) else base


def differences(lower: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that turn a base into a configuration, in the configuration's order."""
    differing = {
        name: _plain(value)
        for name, value in configuration.items()
        if name in _ALWAYS or name not in lower or _plain(lower[name]) != _plain(value)
    }
    # A suffixed name of the base (lr_fields) that the configuration lacks: its flat name sets all places again.
    # A parameter that is newer than the trial has no such name: the trial had what is its default now.
    for name in sorted(set(lower) - set(configuration)):
        for flat in configuration:
            if name not in overlay({name: lower[name]}, {flat: None}):
                differing[flat] = _plain(configuration[flat])
    return differing


def command(sweep: SweepRecord, *, preset_file: str = "winner.yaml") -> str:
    """The command line that trains an exported preset on the sweep's scene."""
    return shlex.join(["f3rm-sweeps", "train", "--preset", preset_file, "--scene", str(sweep.spec["scene"])])


def _scene(sweep: SweepRecord, settings: Settings) -> Scene:
    return load_scene(str(sweep.spec["scene"]), scene_root=settings.scene_root)


def _plain(value: Any) -> Any:
    """Tuples as lists: what YAML and JSON give back."""
    return list(value) if isinstance(value, list | tuple) else value
