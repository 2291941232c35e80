"""kill -9 at random moments: of the driver, of a worker, of Ray's own processes. Nothing is lost and nothing is twice.

What is known to go wrong between Ray Tune 2.60 and Optuna 5, and the test in tests/sweeps/search that covers it:

- process starts cost 2.6 s a trial: test_driver, every_failure_gets_its_reason (actors are used again)
- stopped trials are told as complete, with values of a lower rung: test_conductor, the_best_go_on
- no constraints; samplers never see failures: test_conductor, a_broken_limit_is_never_promoted
- sweeps share one study by default: test_study, sweeps_of_one_name_have_studies_of_their_own
- a missing objective leaves a row running for ever: test_trial, one_that_is_missing_crashed
- a restored searcher leaves zombie rows and runs configurations twice, and a scheduler's state is not saved: here, and
  test_conductor, killed_at_any_moment
- two Tuners with one trainable name run each other's code: test_tuning, each_drive_has_a_trainable_of_its_own
- max_concurrent_trials counts paused trials, and hangs: test_searcher, trials_that_wait_take_no_slot
- a saved searcher holds the database's password: test_searcher, ray_tune_gets_no_copy_and_no_password
- a finished row takes no attributes, and numpy's scalars raise: test_study, an_end_has_all_its_attributes
- Alembic's table of versions is Optuna's: tests/sweeps/store/test_database.py
- the dashboard lets anybody delete: tests/service/test_dashboard.py
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from sweeps.search.study import NUMBER, open_storage
from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.records import SweepRecord
from sweeps.store.repository import Repository
from sweeps.store.studies import study_name

FAKES = Path(__file__).parents[1] / "sweeps" / "search"
RUNGS = (10, 30, 90)
TRIALS = 30
PRESETS = ("quick_prototype", "high_quality")
KILLS = 8
RAY = ("raylet", "gcs_server")


class Chaos:
    """A sweep whose driver is started whenever it is gone, and a killer."""

    def __init__(self, settings: Settings, repository: Repository, sweep: SweepRecord, seed: int) -> None:
        self.settings, self.repository, self.sweep = settings, repository, sweep
        self.chance = random.Random(seed)
        self.drivers: list[subprocess.Popen[bytes]] = []
        self.killed: list[str] = []

    def run(self, kills: int) -> None:
        """Kill so often, each time once some work was begun since, and let the sweep end."""
        begun = -1
        while self._drive():
            time.sleep(0.05)
            attempts = sum(trial.attempts for trial in self.repository.all_trials(self.sweep.id))
            if attempts <= begun or len(self.killed) >= kills:
                continue
            time.sleep(self.chance.uniform(0.0, 1.5))
            if self._kill():
                begun = attempts + self.chance.randrange(4)

    def _drive(self) -> bool:
        """Whether there is more to do; the driver runs then."""
        if self.drivers and self.drivers[-1].poll() is None:
            return True
        if self.repository.get_sweep(self.sweep.id).state == "completed":
            return False
        assert len(self.drivers) <= 3 * KILLS, f"it does not get on; killed: {self.killed}"
        if self.drivers:
            self.repository.request_resume(self.sweep.id)
        paths = os.pathsep.join([str(FAKES), str(FAKES.parents[2]), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, **self.settings.to_environment(), "PYTHONPATH": paths}
        with (self.settings.data_dir / "driver.err").open("ab") as errors:
            command = [sys.executable, "-m", "drive_fake", self.sweep.id, "Legs"]
            self.drivers.append(subprocess.Popen(command, env=environment, stderr=errors))
        return True

    def _kill(self) -> bool:
        """kill -9 one process. Returns whether there was one of the kind that chance chose."""
        kind = self.chance.choice(["driver", "worker", *RAY])
        victims = [process for process in self._family() if self._is(kind, process)]
        if not victims:
            return False
        try:
            self.chance.choice(victims).kill()
        except psutil.NoSuchProcess:
            return False
        self.killed.append(kind)
        return True

    def _family(self) -> list[psutil.Process]:
        try:
            driver = psutil.Process(self.drivers[-1].pid)
            return [driver, *driver.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _is(self, kind: str, process: psutil.Process) -> bool:
        if kind == "driver":
            return process.pid == self.drivers[-1].pid
        if kind == "worker":
            trials = [trial.number for trial in self.repository.all_trials(self.sweep.id) if trial.state == "running"]
            attempts = [self.repository.attempts(self.sweep.id, number)[-1] for number in trials]
            return process.pid in {attempt.pid for attempt in attempts}
        try:
            return process.name() == kind
        except psutil.NoSuchProcess:
            return False


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sweep_survives_whatever_is_killed(tmp_path: Path, tiny_scene: Path) -> None:
    url = f"sqlite:///{tmp_path / 'f3rm.db'}"
    settings = Settings(url, data_dir=tmp_path, cache_dir=tmp_path / "cache", lease_seconds=10.0, max_attempts=50)
    repository = Repository.open(settings.store_url)
    spec = parse_spec(
        {
            "name": "chaos",
            "scene": str(tiny_scene),
            "space": {
                "max_res": {"type": "int", "low": 512, "high": 4096},
                "feat_loss_weight": {"type": "float", "low": 1e-5, "high": 10.0, "log": True},
            },
            "objectives": ["psnr", "feature_gain"],
            "fidelity": {"rungs": list(RUNGS), "eta": 3},
            "budget": {"trials": TRIALS},
            "resources": {"max_concurrent": 2},
            "search": {"sampler": "random", "warm_start": {"presets": list(PRESETS)}},
        }
    )
    sweep, _ = repository.create_sweep(spec)
    chaos = Chaos(settings, repository, sweep, seed=20)
    try:
        chaos.run(KILLS)
    finally:
        for driver in chaos.drivers:
            driver.kill()
            driver.wait()
    assert len(chaos.killed) == KILLS

    # One configuration and one result a trial and rung; none lost, none left running, and repeated work is recorded.
    trials = repository.all_trials(sweep.id)
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert {trial.state for trial in trials} == {"completed", "pruned"}
    legs = [tuple(map(int, line.split())) for line in (settings.sweep_dir(sweep.id) / "legs").read_text().splitlines()]
    for trial in trials:
        rungs = [rung.step for rung in repository.rungs(sweep.id, trial.number)]
        assert rungs == list(RUNGS[: len(rungs)])
        assert (rungs[-1] == RUNGS[-1]) == (trial.state == "completed")
        attempts = repository.attempts(sweep.id, trial.number)
        outcomes = Counter(attempt.outcome for attempt in attempts)
        assert [attempt.number for attempt in attempts] == list(range(1, trial.attempts + 1))
        assert set(outcomes) <= {"paused", "completed", "lost", "interrupted"}
        assert outcomes["paused"] + outcomes["completed"] == len(rungs)
        mine = [leg for leg in legs if leg[0] == trial.number]
        assert len(rungs) <= len(mine) <= len(attempts)
        # A trial goes on from its checkpoint: a rung once reached is not trained to again.
        assert all(start >= max((step for step in RUNGS if step < end), default=0) for _, start, end in mine)

    # Presets came first, each once.
    points = [trial.parameters for trial in trials]
    assert points[0] == {"max_res": 1024, "feat_loss_weight": 1e-4}
    assert points[1] == {"max_res": 4096, "feat_loss_weight": 2e-3}
    assert len({tuple(point.values()) for point in points}) == TRIALS

    # Optuna's rows agree.
    rows = optuna.load_study(study_name=study_name(sweep), storage=open_storage(settings.store_url)).trials
    for trial in trials:
        assert trial.optuna_trial is not None
        row = rows[trial.optuna_trial]
        assert row.user_attrs[NUMBER] == trial.number
        assert row.params == trial.parameters
        assert row.state == (TrialState.COMPLETE if trial.state == "completed" else TrialState.PRUNED)
    others = [row for row in rows if row.number not in {trial.optuna_trial for trial in trials}]
    assert {row.state for row in others} <= {TrialState.FAIL}

    # No process of ours is left.
    repository.close()
    _, alive = psutil.wait_procs(_of(sweep.id), timeout=60)
    assert alive == []


def _of(sweep_id: str) -> list[psutil.Process]:
    """Every process that a driver of this sweep started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("F3RM_DRIVEN_SWEEP") == sweep_id:
                found.append(process)
        except psutil.Error:
            continue
    return found
