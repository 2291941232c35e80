"""A store, a scene and settings of a test's own, and drivers as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sweeps.settings import Settings
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.store.records import SweepRecord
from sweeps.store.repository import Repository

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # fake_trainers, also for the workers


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        store_url=f"sqlite:///{tmp_path / 'data' / 'f3rm.db'}",
        data_dir=tmp_path / "data",
        cache_dir=tmp_path / "cache",
        lease_seconds=20.0,
    )


@pytest.fixture
def repository(settings: Settings) -> Iterator[Repository]:
    repository = Repository.open(settings.store_url)
    yield repository
    repository.close()


@pytest.fixture
def spec_of(tiny_scene: Path) -> Callable[..., SweepSpec]:
    """A small sweep; keyword arguments replace its parts."""

    def make(**parts: Any) -> SweepSpec:
        document: dict[str, Any] = {
            "name": "tiny",
            "scene": str(tiny_scene),
            "space": {"feat_loss_weight": {"type": "float", "low": 1e-3, "high": 10.0, "log": True}},
            "objectives": ["psnr", "feature_gain"],
            "fidelity": {"rungs": [10]},
            "budget": {"trials": 4},
            "resources": {"max_concurrent": 2},
        }
        return parse_spec({**document, **parts})

    return make


@pytest.fixture
def drive(settings: Settings) -> Iterator[Callable[[SweepRecord, str], subprocess.Popen[str]]]:
    """Start a driver process with a fake trainer; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(sweep: SweepRecord, trainer: str) -> subprocess.Popen[str]:
        paths = [str(HERE), str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, **settings.to_environment(), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        log = settings.data_dir / "driver.err"
        with log.open("a") as errors:
            command = [sys.executable, "-m", "drive_fake", sweep.id, trainer]
            process = subprocess.Popen(command, env=environment, stderr=errors, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program of this name on the path that prints what it is given, for each GPU free MiB and MIG mode."""

    def say(answer: str, exit_code: int = 0) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\nexit {exit_code}\n")
        program.chmod(0o755)
        if str(program.parent) not in os.environ["PATH"]:
            monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return say


def wait_until(condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
    """Wait for a condition that another process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
