"""claims of a played ablation whose effects are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeps.settings import Settings
from sweeps.store.repository import Repository
from tests.played import play, play_ablation
from tests.sweeps.cli.conftest import Command


@pytest.fixture
def sweep_id(store: Repository) -> str:
    return play_ablation(store).id


def test_a_row_a_claim(command: Command, sweep_id: str) -> None:
    ran = command("claims", sweep_id)
    assert ran.code == 0
    fast = next(line for line in ran.out.splitlines() if "samples-few-fast" in line)
    for word in ("train_seconds", "30", "20", "x0.667 [x0.667, x0.667]", "confirmed; size as stated (x0.667)"):
        assert word in fast
    assert "5 claims: 2 confirmed, 2 contradicted, 1 out of reach" in ran.out
    assert "needs a CUDA device" in ran.out
    assert "2 of 3 seeds; unstable: 1 diverged" in " ".join(ran.out.split())
    own = next(line for line in ran.out.splitlines() if "wide-colours" in line and "psnr" in line)
    assert "+0.50 [+0.50, +0.50]" in own
    assert "not asked in this ablation: max-res-low-fast, " in ran.out


def test_json(command: Command, sweep_id: str) -> None:
    said = json.loads(command("claims", sweep_id, "--json").out)
    by_id = {claim["id"]: claim for claim in said["claims"]}
    assert said["counts"]["confirmed"] == 2
    assert by_id["max-res-high-sharp"]["claimed"] == [0.25, None]
    assert by_id["max-res-high-sharp"]["effect"] == {
        "value": 0.0, "low": 0.0, "high": 0.0, "base": 21.0, "arm": 21.0, "pairs": 3
    }  # fmt: skip
    assert by_id["mixed-precision"]["metric"] is None
    assert said["arms"]["samples-few"] == {"num_nerf_samples_per_ray": 11}


def test_markdown(command: Command, sweep_id: str) -> None:
    lines = command("claims", sweep_id, "--markdown").out.splitlines()
    assert "| samples-few | `num_nerf_samples_per_ray` 11 |" in lines
    contradicted = next(line for line in lines if line.startswith("| max-res-high-sharp |"))
    assert contradicted.endswith("| psnr | 21 | 21 | +0 [+0, +0] | **contradicted** |  |")
    assert any(line.startswith("| mixed-precision |") and "CUDA" in line for line in lines)


def test_without_a_sweep_the_claims_are_listed(command: Command) -> None:
    ran = command("claims")
    assert "num_nerf_samples_per_ray=32" in next(line for line in ran.out.splitlines() if "samples-few-fast" in line)
    listed = {claim["id"]: claim for claim in json.loads(command("claims", "--json").out)}
    assert listed["samples-few-fast"]["stated"] == pytest.approx(2 / 3)
    assert "CUDA" in listed["mixed-precision"]["out_of_reach"]
    assert command("claims", "--markdown").code == 2


@pytest.mark.parametrize(("suffix", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_plot(command: Command, sweep_id: str, tmp_path: Path, suffix: str, head: bytes) -> None:
    file = tmp_path / f"claims.{suffix}"
    assert command("claims", sweep_id, "--plot", file).code == 0
    assert file.read_bytes().startswith(head)


def test_what_cant_be_had(
    command: Command, sweep_id: str, store: Repository, settings: Settings, tmp_path: Path
) -> None:
    for words, said in (
        ((sweep_id, "--plot", tmp_path / "claims.doc"), ".png or .svg"),
        ((sweep_id, "--json", "--markdown"), "give one of them"),
        (("nothing",), "nothing"),
        ((play(store, settings).id,), "kind: ablation"),
        ((play_ablation(store, trials=1).id, "--plot", tmp_path / "claims.png"), "nothing to draw"),
    ):
        ran = command("claims", *words)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert said in ran.err
    assert list(tmp_path.glob("claims.*")) == []
