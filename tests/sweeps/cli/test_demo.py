"""What the demo leaves and prints, over a played sweep; the real one is `make demo`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.settings import Settings
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.store.records import SweepRecord
from sweeps.store.repository import Repository
from tests.played import SPEC, play
from tests.sweeps.cli.conftest import Command


@dataclass
class FakeService:
    """A service that plays what it is sent at once."""

    sweep: Callable[[dict[str, Any]], SweepRecord]
    url: str = "http://127.0.0.1:4321"
    sent: list[dict[str, Any]] = field(default_factory=list)

    def submit(self, spec: str, *, content_type: str) -> dict[str, Any]:
        assert content_type == "application/json"
        self.sent.append(json.loads(spec))
        return {"id": self.sweep(self.sent[-1]).id}


@pytest.fixture
def service(store: Repository, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    fake = FakeService(lambda _: play(store, settings))

    @contextmanager
    def running(_: Settings) -> Iterator[FakeService]:
        yield fake

    monkeypatch.setattr("sweeps.cli.demo.running_service", running)
    return fake


def test_the_demos_own_sweep_can_be_run() -> None:
    text = resources.files("sweeps.cli").joinpath("demo.yaml").read_text(encoding="utf-8")
    plan = check_spec(parse_spec(text))
    assert plan.scene.location == "embedded:tabletop"
    assert plan.spec.budget.trials >= 10


def test_leaves_the_front_the_winner_and_a_summary(command: Command, service: FakeService, tmp_path: Path) -> None:
    ran = command("demo", "--output", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["front.png", "summary.json", "winner.yaml"]
    assert (tmp_path / "out" / "front.png").read_bytes().startswith(b"\x89PNG")
    winner = yaml.safe_load((tmp_path / "out" / "winner.yaml").read_text())
    assert winner["parameters"]["seed"] == 7
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["states"] == {"completed": 3, "failed": 1}
    assert summary["front"] == [0, 2]
    assert summary["winner"]["trial"] == 0
    assert summary["winner"]["metrics"]["psnr"] == 20.0
    assert [trial["state"] for trial in summary["trials"]] == ["completed"] * 3 + ["failed"]
    assert summary["seconds"] >= 0


def test_says_where_what_and_how_to_go_on(command: Command, service: FakeService, tmp_path: Path) -> None:
    out = command("demo", "--output", tmp_path / "out").out
    assert "http://127.0.0.1:4321/dashboard" in out
    assert "POST http://127.0.0.1:4321/api/v1/sweeps" in out
    assert "trial 3 failed (diverged" in out
    assert f"f3rm-sweeps train --preset {tmp_path}/out/winner.yaml --scene embedded:tabletop" in out
    assert "f3rm-sweeps serve" in out


def test_the_number_of_trials_and_the_sweep_can_be_chosen(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**SPEC, "name": "mine"}))
    command("demo", "--output", tmp_path / "out", "--spec", tmp_path / "mine.yaml", "--trials", 3)
    assert (service.sent[0]["name"], service.sent[0]["budget"]["trials"]) == ("mine", 3)


def test_a_sweep_that_fails_is_told_with_its_cause(
    command: Command, service: FakeService, store: Repository, tmp_path: Path
) -> None:
    def failed(_: dict[str, Any]) -> SweepRecord:
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        return store.fail_sweep(sweep.id, "its driver ended with code 1: no space left on device")

    service.sweep = failed
    ran = command("demo", "--output", tmp_path / "out")
    assert ran.code == 1
    assert "no space left on device" in ran.err
    assert ran.err.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_an_output_folder_that_cant_be_made(command: Command, service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = command("demo", "--output", tmp_path / "file" / "out")
    assert ran.code == 2
    assert service.sent == []
    assert ran.err.count("\n") == 1


def test_an_interrupt_cancels_the_sweep(
    command: Command, service: FakeService, store: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.sweep = lambda _: store.create_sweep(parse_spec(SPEC))[0]

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sweeps.cli.demo.watch_sweep", interrupt)
    ran = command("demo", "--output", tmp_path / "out")
    assert ran.code == 130
    assert store.list_sweeps().items[0].state == "cancelled"
