"""pareto of a played sweep whose front is known, and presets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.repository import Repository
from tests.played import RESULTS, SPEC, play
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

    def test_a_winner_that_is_not_on_the_front_is_shown_and_marked(
        self, command: Command, store: Repository, settings: Settings
    ) -> None:
        alone = play(store, settings, spec={**SPEC, "objectives": ["feature_gain"]})
        ran = command("pareto", alone.id, "--scenario", "quality")
        rows = [line.split() for line in ran.out.splitlines() if "feat_loss_weight=" in line]
        assert [row[:3] for row in rows] == [["2", "0.7", "18"], ["*", "0", "0.5"]]
        said = "1 on the front, 2 completed trials behind it; * wins, though not on it: means over seeds decide, or a"
        assert said in ran.out

    def test_seeds_of_one_configuration_are_counted_once(
        self, command: Command, store: Repository, settings: Settings
    ) -> None:
        again = {**RESULTS[0], "psnr": 19.5, "feature_gain": 0.6}
        seeds = play(store, settings, results={**RESULTS, 3: again}, weights=[1.0, 0.1, 0.01, 1.0])
        said = "3 trials (2 configurations) on the front, 1 completed trials behind it; * wins"
        assert said in command("pareto", seeds.id).out

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

    def test_nothing_completed(self, command: Command, store: Repository, tmp_path: Path) -> None:
        store.create_sweep(parse_spec(SPEC))
        ran = command("pareto", "played")
        assert ran.code == 0
        assert "no trial has completed" in ran.out
        front = json.loads(command("pareto", "played", "--json").out)
        assert (front["points"], front["winner"]) == ([], None)
        ran = command("pareto", "played", "--plot", tmp_path / "front.png")
        assert ran.code == 2
        assert "no trial has completed" in ran.err

    def test_a_scenario_without_a_winner_hides_no_front(self, command: Command, sweep_id: str) -> None:
        ran = command("pareto", sweep_id, "--scenario", "memory")
        assert ran.code == 0
        assert "2 on the front, 1 completed trials behind it; psnr in dB" in ran.out
        assert "scenario memory needs peak_memory_gb" in ran.out

    def test_a_scenario_that_is_not_defined(self, command: Command, sweep_id: str) -> None:
        ran = command("pareto", sweep_id, "--scenario", "best")
        assert ran.code == 2
        assert "balanced, quick, quality, memory, language" in ran.err

    def test_the_winner_of_another_scenario(self, command: Command, sweep_id: str) -> None:
        assert json.loads(command("pareto", sweep_id, "--scenario", "language", "--json").out)["winner"]["trial"] == 2


class TestHypervolume:
    def test_what_each_trial_added(self, command: Command, sweep_id: str) -> None:
        # Scores (1/3, 0.5), then 0.7 at 4/15 of psnr: 1/6 + 4/15 * 0.2 = 0.22. Three trained 12.5 s, one milliseconds.
        ran = command("hypervolume", sweep_id)
        rows = [line.split() for line in ran.out.splitlines() if "+" in line]
        assert [row[0] for row in rows] == ["0", "2"]
        assert "hypervolume 0.2200 after 4 trials and 38 s of training" in ran.out
        assert "psnr from 10 dB to 40 dB; feature_gain from 0 to 1" in ran.out

    def test_json_has_every_trial_and_the_scales(self, command: Command, sweep_id: str) -> None:
        found = json.loads(command("hypervolume", sweep_id, "--json").out)
        assert found["hypervolume"] == pytest.approx(0.22)
        assert [point["trial"] for point in found["history"]] == [0, 1, 2, 3]
        assert [point["seconds"] for point in found["history"]][:3] == [12.5, 25.0, 37.5]
        assert found["scales"][0] == {"name": "psnr", "unit": "dB", "reference": 10.0, "ideal": 40.0, "scale": "linear"}

    @pytest.mark.parametrize(("suffix", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
    def test_a_plot(self, command: Command, sweep_id: str, tmp_path: Path, suffix: str, head: bytes) -> None:
        file = tmp_path / f"growth.{suffix}"
        assert command("hypervolume", sweep_id, "--plot", file).code == 0
        assert file.read_bytes().startswith(head)

    @pytest.mark.parametrize("name", ["growth.doc", "none/growth.png"])
    def test_a_plot_that_cant_be_made(self, command: Command, sweep_id: str, tmp_path: Path, name: str) -> None:
        ran = command("hypervolume", sweep_id, "--plot", tmp_path / name)
        assert ran.code == 2
        assert ran.err.count("\n") == 1
        assert not (tmp_path / name).exists()

    def test_nothing_has_ended(self, command: Command, store: Repository, tmp_path: Path) -> None:
        store.create_sweep(parse_spec(SPEC))
        assert "hypervolume 0.0000 after 0 trials" in command("hypervolume", "played").out
        ran = command("hypervolume", "played", "--plot", tmp_path / "growth.png")
        assert ran.code == 2
        assert "no trial has trained" in ran.err


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
