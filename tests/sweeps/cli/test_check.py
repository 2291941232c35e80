"""The commands check and presets suggest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from sweeps.spec.presets import list_presets
from sweeps.spec.sweep import parse_spec
from sweeps.store.repository import Repository
from tests.played import SPEC
from tests.sweeps.cli.conftest import Command


@pytest.fixture
def sweep(tmp_path: Path, tiny_scene: Path) -> Path:
    space = {
        "lr": {"type": "categorical", "choices": [0.01, 0.05]},
        "feat_loss_weight": {"type": "categorical", "choices": [1e-3, 1e-1]},
    }
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({"name": "s", "scene": str(tiny_scene), "space": space}))
    return file


class TestCheck:
    @pytest.mark.parametrize("name", list_presets())
    def test_presets_that_ship_are_fine(self, command: Command, name: str) -> None:
        ran = command("check", name)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.splitlines()[0].startswith("peak memory ")
        assert ran.out.splitlines()[-1] == f"{name} (configuration): 0 errors, 0 warnings"

    def test_errors_are_exit_code_2(self, command: Command, tmp_path: Path) -> None:
        file = tmp_path / "idle.yaml"
        file.write_text("name: idle\nbase: f3rm_default\nparameters: {feat_loss_weight: 0.0}\n")
        ran = command("check", file)
        assert (ran.code, ran.err) == (2, "")
        assert ran.out.splitlines()[0] == "error  no-features"
        assert "idle (configuration): 1 error, 0 warnings" in ran.out
        shown = json.loads(command("check", file, "--json").out)
        assert (shown["ok"], shown["findings"][0]["rule"]) == (False, "no-features")
        assert shown["findings"][0]["parameters"]["feat_loss_weight"] == 0.0

    def test_memory_that_a_gpu_does_not_have_is_an_error_with_its_remedy(self, command: Command) -> None:
        assert command("check", "f3rm_default", "--gpu-memory-gb", 8).code == 0
        ran = command("check", "f3rm_default", "--gpu-memory-gb", 2.5)
        assert (ran.code, ran.err) == (2, "")
        assert ran.out.splitlines()[0] == "error  memory-limit"
        assert "over the limit of 2.5 GB" in ran.out
        assert "predicted, not measured: cuda, tcnn" in ran.out
        shown = json.loads(command("check", "f3rm_default", "--gpu-memory-gb", 2.5, "--json").out)["memory"]
        assert (shown["measured"], shown["limit_gb"], shown["share_over"]) == (False, 2.5, 1.0)
        assert sum(shown["parts_gb"].values()) == pytest.approx(shown["peak_memory_gb"])

    def test_a_spaces_memory_is_its_largest_with_the_share_over(
        self, command: Command, tmp_path: Path, tiny_scene: Path
    ) -> None:
        space = {"train_num_rays_per_batch": {"type": "categorical", "choices": [1024, 16384]}}
        file = tmp_path / "sweep.yaml"
        file.write_text(yaml.safe_dump({"name": "s", "scene": str(tiny_scene), "space": space}))
        ran = command("check", file, "--gpu-memory-gb", 3)
        assert ran.code == 2
        shown = json.loads(command("check", file, "--gpu-memory-gb", 3, "--json").out)
        share = shown["memory"]["share_over"]
        assert share == pytest.approx(0.5, abs=0.2)
        assert shown["forbidden"] == share
        assert f"error  memory-limit  {100 * share:.0f}% of the space" in ran.out
        assert "largest of 64 drawn" in ran.out

    def test_how_many_trials_would_share_a_gpu(self, command: Command, tmp_path: Path, tiny_scene: Path) -> None:
        space = {"train_num_rays_per_batch": {"type": "categorical", "choices": [1024, 2048]}}
        document = {"name": "s", "scene": str(tiny_scene), "space": space}
        file = tmp_path / "sweep.yaml"
        file.write_text(yaml.safe_dump(document))
        sharing = json.loads(command("check", file, "--gpu-memory-gb", 8, "--json").out)["sharing"]
        peak = json.loads(command("check", file, "--gpu-memory-gb", 8, "--json").out)["memory"]["peak_memory_gb"]
        assert sharing["together"] == min(4, int(0.9 * 8 / (peak + 0.7)))
        assert sharing["together"] > 1
        assert (
            f"    {sharing['together']} trials share a GPU of 8 GB: 90%"
            in command("check", file, "--gpu-memory-gb", 8).out
        )
        assert json.loads(command("check", file, "--json").out)["sharing"] is None
        file.write_text(yaml.safe_dump({**document, "resources": {"gpus_per_trial": 1}}))
        assert json.loads(command("check", file, "--gpu-memory-gb", 8, "--json").out)["sharing"] is None

    @pytest.mark.parametrize("limit", ["0", "-1", "nan"])
    def test_a_memory_that_is_none_is_one_line(self, command: Command, limit: str) -> None:
        ran = command("check", "f3rm_default", "--gpu-memory-gb", limit)
        assert (ran.code, ran.out) == (2, "")
        assert "give the memory of one GPU in GB, above 0" in ran.err
        assert ran.err.count("\n") == 1

    def test_warnings_alone_are_fine(self, command: Command, tmp_path: Path) -> None:
        file = tmp_path / "poor.yaml"
        file.write_text(
            "name: poor\nbase: f3rm_default\nparameters: {max_res: 512, hidden_dim: 32, num_nerf_samples_per_ray: 16}\n"
        )
        ran = command("check", file)
        assert ran.code == 0
        assert "too-little-capacity" in ran.out

    def test_a_sweeps_space_is_told_by_share(self, command: Command, sweep: Path) -> None:
        ran = command("check", sweep)
        assert ran.code == 2
        shown = json.loads(command("check", sweep, "--json").out)
        assert (shown["kind"], shown["samples"], shown["ok"]) == ("space", 512, False)
        share = shown["findings"][0]["share"]
        assert share == pytest.approx(0.25, abs=0.06)
        assert f"error  unstable-rates  {100 * share:.0f}% of the space" in ran.out

    def test_an_allowed_rule_is_told_and_fine(self, command: Command, sweep: Path) -> None:
        sweep.write_text(sweep.read_text() + "allow: [unstable-rates]\n")
        ran = command("check", sweep)
        assert ran.code == 0
        assert "of the space  (allowed)" in ran.out

    def test_what_this_machine_can_never_run_is_warned_of_unless_a_cluster_runs_it(
        self, command: Command, sweep: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sweep.write_text(sweep.read_text() + "allow: [unstable-rates]\nresources: {cpus_per_trial: 1024}\n")
        sweep.write_text(sweep.read_text() + "budget: {trials: 2}\n")  # as many as its space holds
        ran = command("check", sweep)
        assert ran.code == 0
        assert "warning  resources.cpus_per_trial=1024: this machine has " in ran.out
        assert ran.out.splitlines()[-1].endswith("0 errors, 2 warnings")
        assert "=1024: this machine" in json.loads(command("check", sweep, "--json").out)["warnings"][0]
        monkeypatch.setenv("F3RM_RAY_ADDRESS", "auto")
        assert "this machine" not in command("check", sweep).out

    def test_an_option_without_effect_is_warned_of(self, command: Command, sweep: Path) -> None:
        sweep.write_text(sweep.read_text() + "allow: [unstable-rates]\nfidelity: {eta: 5}\n")
        ran = command("check", sweep)
        assert ran.code == 0
        assert "warning  fidelity.eta=5: there are no rungs" in ran.out

    def test_the_sweeps_of_a_warm_start_are_looked_up(self, command: Command, store: Repository, sweep: Path) -> None:
        store.create_sweep(parse_spec(SPEC))
        text = sweep.read_text() + "allow: [unstable-rates]\nsearch: {warm_start: {sweeps: [played]}}\n"
        sweep.write_text(text)
        assert command("check", sweep).code == 0
        sweep.write_text(text.replace("played", "nope"))
        ran = command("check", sweep)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert "search.warm_start.sweeps.0='nope': no such sweep" in ran.err

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "name: s\nspace: {max_res: {type: int, low: 64, high: 32}}",
                "line 2: space.max_res.low=64: must be below",
            ),
            (
                "name: s\nbase: nope\nspace: {max_res: {type: int, low: 64, high: 96}}",
                "line 2: base='nope': no such preset",
            ),
            ("name: s\nparameters: {}", "base: is required"),
            ("space: [", "line 1"),
        ],
    )
    def test_a_file_that_cant_work_is_one_line(self, command: Command, tmp_path: Path, text: str, said: str) -> None:
        file = tmp_path / "bad.yaml"
        file.write_text(text)
        ran = command("check", file)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"f3rm-sweeps: {file}: ")
        assert said in ran.err
        assert ran.err.count("\n") == 1

    def test_a_preset_that_is_none(self, command: Command) -> None:
        assert "did you mean high_quality?" in command("check", "high_qualty").err


class TestSuggest:
    WORDS = ("presets", "suggest", "--scene-complexity", "very_complex", "--gpu-memory-gb", 12)

    def test_says_which_rule_gave_which_value(self, command: Command) -> None:
        lines = [line.split() for line in command(*self.WORDS).out.splitlines()]
        assert ["max_res", "2048", "memory"] in [words[:3] for words in lines]
        assert ["hidden_dim", "128", "scene"] in [words[:3] for words in lines]
        shown = json.loads(command(*self.WORDS, "--json").out)
        assert shown["parameters"]["max_res"] == 2048
        assert {reason["parameter"] for reason in shown["reasons"]} == set(shown["parameters"])

    def test_its_file_passes_the_check(self, command: Command, tmp_path: Path) -> None:
        file = tmp_path / "start.yaml"
        assert command(*self.WORDS, "-o", file).code == 0
        assert command("check", file).code == 0

    @pytest.mark.parametrize(
        ("complexity", "gpu_memory_gb", "said"),
        [
            ("medium", 8, "'medium': no such complexity"),
            ("simple", 0, "gpu_memory_gb=0"),
            ("simple", "x", "--gpu-memory-gb"),
        ],
    )
    def test_what_is_none_is_refused(self, command: Command, complexity: str, gpu_memory_gb: object, said: str) -> None:
        ran = command("presets", "suggest", "--scene-complexity", complexity, "--gpu-memory-gb", gpu_memory_gb)
        assert ran.code == 2
        assert said in ran.err


def test_all_faults_of_a_file_are_told_in_its_order(command: Command, tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text(
        "name: bad\nscene: embedded:tabletop\nobjectives: [psnrr]\nbudget: {trials: none}\nsearch: {sampler: best}\n"
        "fidelity: {eta: x}\nspace:\n  lr: {type: float, low: 0.1, high: many}\n"
    )
    ran = command("check", spec)
    lines = ran.err.splitlines()
    assert (ran.code, ran.out) == (2, "")
    numbers = [int(line.split("line ")[1].split(":")[0]) for line in lines]
    assert numbers == sorted(numbers)
    assert len(lines) > 3
    ran = command("check", spec, "--json")
    told = json.loads(ran.out)
    assert (ran.code, ran.err, told["ok"]) == (2, "", False)
    assert [f"f3rm-sweeps: {spec}: {fault['message']}" for fault in told["errors"]] == lines
