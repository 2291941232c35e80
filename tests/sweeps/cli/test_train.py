"""The command train: what it refuses before torch is loaded, and one tiny training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from f3rm_core import UsageError
from sweeps.cli.train import parse_assignments
from tests.conftest import write_room
from tests.full_disk import no_room_beyond
from tests.sweeps.cli.conftest import Command


def test_values_are_read_as_in_a_preset() -> None:
    words = ["max_res=512", "lr=1e-3", "feat_use_pe=false", "num_proposal_samples_per_ray=[64, 32]", "clip_model=x=y"]
    assert parse_assignments(words) == {
        "max_res": 512,
        "lr": 0.001,
        "feat_use_pe": False,
        "num_proposal_samples_per_ray": [64, 32],
        "clip_model": "x=y",
    }


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("max_res", "give NAME=VALUE"),
        ("max_res=", "give NAME=VALUE"),
        ("max_rse=512", "did you mean max_res"),
        ("max_res=[1", "--set 'max_res=[1'"),
    ],
)
def test_words_that_are_no_assignment(word: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_assignments([word])
    assert said in str(error.value)


def never(*_: object) -> None:
    raise AssertionError("training was started")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "max_res=4"], "max_res=4"),
        (["--steps", "0"], "max_num_iterations=0"),
        (["--threads", "-1"], "threads=-1"),
        (["--set", "clip_pretrained=/no/such.pt"], "clip_pretrained='/no/such.pt': no such file"),
        (["--scene", "/no/such/scene"], "no such folder"),
        (["--scene", "embedded:moon"], "no such embedded scene"),
    ],
)
def test_what_cant_work_is_told_before_torch_is_loaded(
    command: Command, tiny_scene: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.setattr("sweeps.cli.train._train", never)
    scene = [] if "--scene" in words else ["--scene", tiny_scene]
    ran = command("train", "--preset", "f3rm_default", *scene, *words)
    assert ran.code == 2
    assert said in ran.err


def test_a_scene_of_which_nothing_is_held_out(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.cli.train._train", never)
    few = write_room(tmp_path / "few", views=5, held_out=0)
    ran = command("train", "--preset", "f3rm_default", "--scene", few)
    assert ran.code == 2
    assert "5 views, of which train_split_fraction=0.9 holds out none; give at most 0.8, or name" in ran.err


def test_an_output_folder_that_is_a_file(command: Command, tiny_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    ran = command("train", "--preset", "f3rm_default", "--scene", tiny_scene, "--output", tmp_path / "out")
    assert ran.code == 2
    said = f"--output {tmp_path / 'out'}: can't be written (File exists); choose another folder"
    assert ran.err == f"f3rm-sweeps: {said}\n"


def test_an_output_folder_without_room_is_told_before_the_training(
    command: Command, tiny_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.cli.train._train", never)
    with no_room_beyond(100):
        ran = command("train", "--preset", "f3rm_default", "--scene", tiny_scene, "--output", tmp_path / "out")
    assert ran.code == 2
    assert "can't be written (File too large)" in ran.err
    assert list((tmp_path / "out").iterdir()) == []


def test_one_tiny_training(
    command: Command, tiny_scene: Path, tiny_parameters: dict[str, object], tmp_path: Path
) -> None:
    preset = tmp_path / "tiny.yaml"
    preset.write_text(yaml.safe_dump({"name": "tiny", "base": "f3rm_default", "parameters": tiny_parameters}))
    words = [
        "train",
        "--preset",
        preset,
        "--scene",
        tiny_scene,
        "--steps",
        3,
        "--seed",
        5,
        "--output",
        tmp_path / "out",
    ]
    ran = command(*words, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert (result["steps"], result["seed"], result["threads"]) == (3, 5, 1)
    assert set(result["metrics"]) >= {"psnr", "ssim", "feature_cosine", "feature_gain", "feature_mse", "train_seconds"}
    assert result["parameters"]["max_res"] == tiny_parameters["max_res"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == result
    assert (tmp_path / "out" / "panel.png").read_bytes().startswith(b"\x89PNG")

    again = command(*words)
    assert "psnr" in again.out
    assert "step 3/3" in again.out
