"""export of a played sweep: what is written, and what can't be."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from sweeps.cli.train import parse_assignments
from sweeps.settings import Settings
from sweeps.store.repository import Repository
from tests.played import play
from tests.sweeps.cli.conftest import Command


@pytest.fixture
def sweep_id(store: Repository, settings: Settings) -> str:
    return play(store, settings).id


def test_the_winners_preset_to_stdout(command: Command, sweep_id: str) -> None:
    preset = yaml.safe_load(command("export", sweep_id).out)
    assert (preset["parameters"]["feat_loss_weight"], preset["parameters"]["seed"]) == (1.0, 7)


def test_a_trial_to_a_file_that_train_reads(command: Command, sweep_id: str, tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    ran = command("export", sweep_id, "--trial", 2, "-o", file)
    assert "trial 2" in ran.out
    shown = json.loads(command("presets", "show", file, "--json").out)
    assert shown["resolved"]["feat_loss_weight"] == 0.01


def test_a_command(command: Command, sweep_id: str) -> None:
    words = shlex.split(command("export", sweep_id, "--format", "command", "--trial", 2).out)
    assert words[:6] == ["f3rm-sweeps", "train", "--preset", "f3rm_default", "--scene", "embedded:tabletop"]
    assigned = parse_assignments([word for word in words[6:] if word != "--set"])
    assert assigned == {"feat_loss_weight": 0.01, "max_res": 256, "seed": 9, "threads": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trial", 3], "completed: 0, 1, 2"),
        (["--trial", 77], "completed: 0, 1, 2"),
        (["--trial", 1, "--scenario", "balanced"], "give one of them"),
        (["--scenario", "best"], "best"),
    ],
)
def test_what_cant_be_exported(command: Command, sweep_id: str, words: list[object], said: str) -> None:
    ran = command("export", sweep_id, *words)
    assert ran.code == 2
    assert said in ran.err


def test_a_file_that_cant_be_written_leaves_nothing(command: Command, sweep_id: str, tmp_path: Path) -> None:
    ran = command("export", sweep_id, "-o", tmp_path / "none" / "winner.yaml")
    assert ran.code != 0
    assert ran.err.count("\n") == 1
    assert list(tmp_path.glob("**/winner*")) == []


def test_a_nerfstudio_config_is_the_trials_configuration(command: Command, sweep_id: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    assert command("export", sweep_id, "--format", "nerfstudio", "--trial", 2, "-o", file).code == 0
    first, *_ = file.read_text().splitlines()
    assert first == f"# Trial 2 of sweep played ({sweep_id}), seed 9"
    config = yaml.load(file.read_text(), Loader=yaml.Loader)
    assert (config.method_name, config.machine.seed, config.machine.device_type) == ("f3rm", 9, "cpu")
    assert (config.pipeline.model.feat_loss_weight, config.pipeline.model.max_res) == (0.01, 256)
    assert (config.data / "transforms.json").is_file()


class TestCheckpoint:
    def test_it_needs_a_place(self, command: Command, sweep_id: str) -> None:
        ran = command("export", sweep_id, "--format", "checkpoint")
        assert ran.code == 2
        assert "say where with -o DIR" in ran.err

    def test_one_that_was_not_kept(self, command: Command, sweep_id: str, tmp_path: Path) -> None:
        ran = command("export", sweep_id, "--format", "checkpoint", "--trial", 1, "-o", tmp_path / "run")
        assert ran.code == 2
        assert f"trial 1 of sweep {sweep_id}: its model was not kept" in ran.err
        assert f"f3rm-sweeps export {sweep_id} --trial 1 --format command" in ran.err
        assert ran.err.count("\n") == 1
        assert not (tmp_path / "run").exists()

    def test_one_that_is_gone(
        self, command: Command, store: Repository, settings: Settings, sweep_id: str, tmp_path: Path
    ) -> None:
        from sqlalchemy import update

        from sweeps.store.models import TrialRow

        with store.database.write() as session:
            session.execute(update(TrialRow).values(checkpoint="trials/0000/checkpoints/step-000000100.ckpt"))
        ran = command("export", sweep_id, "--format", "checkpoint", "-o", tmp_path / "run")
        assert ran.code == 2
        assert f"{settings.sweep_dir(sweep_id)}/trials/0000/checkpoints/step-000000100.ckpt is gone" in ran.err
