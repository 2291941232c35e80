"""A trial as a preset: it must give back the trial's configuration, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sweeps.analysis.export import command, differences, preset_yaml
from sweeps.analysis.provenance import Origin, provenance
from sweeps.analysis.repeats import spreads
from sweeps.outcome import repeat_command
from sweeps.spec.presets import load_preset
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import this_process
from sweeps.store.records import Completed, SweepRecord, TrialRecord
from sweeps.store.repository import Repository


def a_result(tmp_path: Path, scene: Path, **parts: Any) -> tuple[SweepRecord, TrialRecord]:
    """A completed trial, as the store gives it back."""
    document = {
        "name": "s",
        "scene": str(scene),
        "space": {"lr": {"type": "float", "low": 1e-4, "high": 1e-1}},
        **parts,
    }
    plan = check_spec(parse_spec(document))
    repository = Repository.open(f"sqlite:///{tmp_path / 'store.db'}")
    sweep, _ = repository.create_sweep(plan.spec)
    held = DrivenSweep.acquire(repository.database, sweep.id, this_process(), lease_seconds=30, max_attempts=3)
    sampled = {"lr": 0.00022429069143751446}
    configuration = plan.configuration(sampled, 0)
    held.add_trial(0, parameters=sampled, configuration=configuration, optuna_trial=0, total_steps=10)
    token = held.start_attempt(0).token
    AttemptStore(repository.database).finish(token, Completed({"psnr": 21.5}, "numba", "cpu", 1, 10, 1.0))
    trial = repository.get_trial(sweep.id, 0)
    repository.close()
    return sweep, trial


def test_an_exported_preset_is_the_trials_configuration(tmp_path: Path, tiny_scene: Path) -> None:
    parts = {
        "parameters": {"num_proposal_samples_per_ray": [64, 32], "feat_use_pe": False},
        "fidelity": {"rungs": [50]},
    }
    sweep, trial = a_result(tmp_path, tiny_scene, **parts)
    path = tmp_path / "winner.yaml"
    path.write_text(preset_yaml(sweep, trial, why="Best of all."))
    preset = load_preset(path)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in preset.resolved.items()}
    assert plain == trial.configuration
    assert preset.summary == "Best of all."
    assert preset.base == "f3rm_default"
    assert set(preset.parameters) == {
        "lr", "num_proposal_samples_per_ray", "feat_use_pe", "max_num_iterations", "seed", "threads",
    }  # fmt: skip
    text = path.read_text()
    assert "psnr 21.5" in text
    assert "encoding numba on cpu, 1 thread" in text


def test_a_base_in_a_file_is_not_needed_to_load_the_export(tmp_path: Path, tiny_scene: Path) -> None:
    base = tmp_path / "mine.yaml"
    base.write_text("name: mine\nbase: f3rm_default\nparameters: {max_res: 512}\n")
    sweep, trial = a_result(tmp_path, tiny_scene, base=str(base))
    path = tmp_path / "winner.yaml"
    base.unlink()
    path.write_text(preset_yaml(sweep, trial))
    assert load_preset(path).resolved["max_res"] == 512
    assert load_preset(path).base == "f3rm_default"
    assert "--preset f3rm_default" in repeat_command(sweep, trial)
    assert "max_res=512" in repeat_command(sweep, trial)


def test_a_suffixed_name_of_the_base_gives_way() -> None:
    lower = {"lr": 0.01, "lr_fields": 0.1, "eps": 1.0}
    assert differences(lower, {"lr": 0.01, "eps": 1.0}) == {"lr": 0.01}


def test_the_command_quotes_what_needs_it(tmp_path: Path, tiny_scene: Path) -> None:
    sweep, _ = a_result(tmp_path, tiny_scene)
    line = command(sweep, preset_file="my winner.yaml")
    assert line == f"f3rm-sweeps train --preset 'my winner.yaml' --scene {tiny_scene}"


NOTED = Origin({"python": "3.11.9", "threads": 1, "table_optimizer": "x", "torch": "2.14.1", "scene_digest": "ab12"})


def test_an_export_says_where_it_comes_from(tmp_path: Path, tiny_scene: Path) -> None:
    sweep, trial = a_result(tmp_path, tiny_scene)
    assert provenance(sweep, trial, NOTED).splitlines() == [
        f"# Trial 0 of sweep s ({sweep.id}), seed {trial.seed}",
        f"# trained on {tiny_scene} (content ab12)",
        "# psnr 21.5",
        "# with encoding numba on cpu, 1 thread(s): the same repeat it exactly",
        "# by python 3.11.9, torch 2.14.1",
    ]
    assert preset_yaml(sweep, trial, NOTED).startswith(provenance(sweep, trial, NOTED))


def test_an_export_tells_the_spread_over_seeds(tmp_path: Path, tiny_scene: Path) -> None:
    sweep, trial = a_result(tmp_path, tiny_scene)
    origin = Origin({}, spreads([{"psnr": 21.0}, {"psnr": 22.0}, {"psnr": 23.0}]))
    assert "# over 3 seeds, mean ± standard deviation: psnr 22 ± 1" in provenance(sweep, trial, origin).splitlines()


def test_a_scenes_name_is_no_yaml(tmp_path: Path, tiny_scene: Path) -> None:
    sweep, trial = a_result(tmp_path, tiny_scene)
    odd = replace(sweep, spec={**sweep.spec, "scene": "a\n!!python/object/apply:os.abort []\x85b\u2028c\x07"})
    text = provenance(odd, trial, Origin())
    assert len(text.splitlines()) == 4
    assert yaml.safe_load(text) is None


def test_a_parameter_newer_than_the_trial_is_left_to_its_default() -> None:
    assert differences({"lr": 0.01, "newer": 3}, {"lr": 0.02}) == {"lr": 0.02}
