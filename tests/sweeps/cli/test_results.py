"""pareto and export of a played sweep whose front is known, and presets."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from sweeps.cli.train import parse_assignments
from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.repository import Repository
from tests.played import SPEC, play
from tests.sweeps.cli.conftest import Command


@pytest.fixture
def sweep_id(store: Repository, settings: Settings) -> str:
    return play(store, settings).id


class TestPareto:
    def test_the_front_with_its_winner(self, command: Command, sweep_id: str) -> None:
        ran = command("pareto", sweep_id)
        rows = [line.split() for line in ran.out.splitlines() if "feat_loss_weight=" in line]
        assert [row[:4] for row in rows] == [["*", "0", "20", "0.5"], ["2", "18", "0.7", "8"]]
        assert "2 on the front, 1 completed trials behind it" in ran.out
        assert "balanced: Trial 0 " in ran.out

    def test_json_has_the_winner_too(self, command: Command, sweep_id: str) -> None:
        front = json.loads(command("pareto", sweep_id, "--json").out)
        assert [point["trial"] for point in front["points"] if point["on_front"]] == [0, 2]
        assert front["winner"]["trial"] == 0
        assert front["winner"]["scores"] == {"psnr": 1.0, "feature_gain": 0.0}

    @pytest.mark.parametrize(("suffix", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
    def test_a_plot(self, command: Command, sweep_id: str, tmp_path: Path, suffix: str, head: bytes) -> None:
        file = tmp_path / f"front.{suffix}"
        assert command("pareto", sweep_id, "--plot", file).code == 0
        assert file.read_bytes().startswith(head)

    def test_a_plot_of_a_kind_that_is_not_made(self, command: Command, sweep_id: str, tmp_path: Path) -> None:
        ran = command("pareto", sweep_id, "--plot", tmp_path / "front.doc")
        assert ran.code == 2
        assert ".png or .svg" in ran.err

    def test_a_plot_that_cant_be_written(self, command: Command, sweep_id: str, tmp_path: Path) -> None:
        ran = command("pareto", sweep_id, "--plot", tmp_path / "none" / "front.png")
        assert ran.code != 0
        assert str(tmp_path / "none") in ran.err
        assert ran.err.count("\n") == 1

    def test_nothing_completed(self, command: Command, store: Repository) -> None:
        store.create_sweep(parse_spec(SPEC))
        ran = command("pareto", "played")
        assert ran.code == 2
        assert "no trial has completed" in ran.err

    def test_a_scenario_that_is_not_defined(self, command: Command, sweep_id: str) -> None:
        ran = command("pareto", sweep_id, "--scenario", "quick")
        assert ran.code == 2
        assert "balanced" in ran.err


class TestExport:
    def test_the_winners_preset_to_stdout(self, command: Command, sweep_id: str) -> None:
        preset = yaml.safe_load(command("export", sweep_id).out)
        assert (preset["parameters"]["feat_loss_weight"], preset["parameters"]["seed"]) == (1.0, 7)

    def test_a_trial_to_a_file_that_train_reads(self, command: Command, sweep_id: str, tmp_path: Path) -> None:
        file = tmp_path / "two.yaml"
        ran = command("export", sweep_id, "--trial", 2, "-o", file)
        assert "trial 2" in ran.out
        shown = json.loads(command("presets", "show", file, "--json").out)
        assert shown["resolved"]["feat_loss_weight"] == 0.01

    def test_a_command(self, command: Command, sweep_id: str) -> None:
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
            (["--scenario", "quick"], "quick"),
        ],
    )
    def test_what_cant_be_exported(self, command: Command, sweep_id: str, words: list[object], said: str) -> None:
        ran = command("export", sweep_id, *words)
        assert ran.code == 2
        assert said in ran.err

    def test_a_file_that_cant_be_written_leaves_nothing(self, command: Command, sweep_id: str, tmp_path: Path) -> None:
        ran = command("export", sweep_id, "-o", tmp_path / "none" / "winner.yaml")
        assert ran.code != 0
        assert ran.err.count("\n") == 1
        assert list(tmp_path.glob("**/winner*")) == []


class TestPresets:
    def test_all_of_them(self, command: Command) -> None:
        names = [preset["name"] for preset in json.loads(command("presets", "list", "--json").out)]
        assert names[0] == "f3rm_default"
        assert all(name in command("presets", "list").out for name in names)

    def test_marks_what_it_sets_itself(self, command: Command, tmp_path: Path) -> None:
        file = tmp_path / "mine.yaml"
        file.write_text("name: mine\nbase: f3rm_default\nparameters: {max_res: 512}\n")
        marked = [line.split() for line in command("presets", "show", file).out.splitlines() if "*" in line]
        assert marked == [["*", "max_res", "512"]]
