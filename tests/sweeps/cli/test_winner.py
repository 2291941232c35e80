"""winner and importance of a played sweep whose winners are known."""

from __future__ import annotations

import json

import pytest

from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.repository import Repository
from tests.played import SPEC, play
from tests.sweeps.cli.conftest import Command


@pytest.fixture
def sweep_id(store: Repository, settings: Settings) -> str:
    return play(store, settings).id


def test_the_balanced_winner_and_why(command: Command, sweep_id: str) -> None:
    ran = command("winner", sweep_id)
    assert "balanced: Trial 0 (psnr 20 dB, feature_gain 0.5): of 2 points on the front" in ran.out


def test_json(command: Command, sweep_id: str) -> None:
    won = json.loads(command("winner", sweep_id, "--scenario", "language", "--json").out)
    assert (won["scenario"], won["trial"]["number"], won["runner_up"]) == ("language", 2, 0)
    assert won["scores"] == {"psnr": 0.0, "feature_gain": 1.0}
    assert won["repeats"] is None


def test_all_scenarios_and_what_one_lacks(command: Command, sweep_id: str) -> None:
    ran = command("winner", sweep_id, "--scenario", "all")
    rows = [line.split()[:2] for line in ran.out.splitlines() if "feat_loss_weight=" in line]
    assert rows == [["balanced", "0"], ["quick", "0"], ["quality", "0"], ["language", "2"]]
    lacking = "scenario memory needs peak_memory_gb, which no completed trial has; they have feature_gain, psnr, "
    assert f"{lacking}train_seconds" in ran.out
    found = json.loads(command("winner", sweep_id, "--scenario", "all", "--json").out)
    assert {won["scenario"]: won["trial"]["number"] for won in found["winners"]} == {
        "balanced": 0,
        "quick": 0,
        "quality": 0,
        "language": 2,
    }
    assert list(found["without_winner"]) == ["memory"]


@pytest.mark.parametrize(
    ("scenario", "said"),
    [("best", "give one of balanced, quick, quality, memory, language"), ("memory", "needs peak_memory_gb")],
)
def test_a_scenario_that_cant_be_told(command: Command, sweep_id: str, scenario: str, said: str) -> None:
    ran = command("winner", sweep_id, "--scenario", scenario)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("scenario", ["quick", "all"])
def test_nothing_completed(command: Command, store: Repository, scenario: str) -> None:
    store.create_sweep(parse_spec(SPEC))
    ran = command("winner", "played", "--scenario", scenario)
    assert ran.code == 2
    assert "no trial has completed" in ran.err


def test_export_takes_every_scenario(command: Command, sweep_id: str) -> None:
    for scenario, weight in {"quick": 1.0, "quality": 1.0, "language": 0.01}.items():
        assert f"feat_loss_weight: {weight}" in command("export", sweep_id, "--scenario", scenario).out


def test_importance_of_too_few_trials(command: Command, sweep_id: str) -> None:
    ran = command("importance", sweep_id)
    assert (ran.code, ran.out) == (0, "importance needs at least 20 completed trials; there are 3.\n")
    assert json.loads(command("importance", sweep_id, "--json").out)["importance"] == {}
