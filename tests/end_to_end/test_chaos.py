"""kill -9 at random moments: of the service, of the driver that it started, of a worker, of Ray's own processes.
Nothing is lost and nothing is twice.

What is known to go wrong between Ray Tune 2.60 and Optuna 5, and the test in tests/sweeps/search that covers it:

- process starts cost 2.6 s a trial: test_driver, every_failure_gets_its_reason (actors are used again)
- stopped trials are told as complete, with values of a lower rung: test_conductor, the_best_go_on
- no constraints; samplers never see failures: test_conductor, a_broken_limit_is_never_promoted; test_study,
  a_diverging_region_is_avoided
- pruners take one objective only, and PRUNED takes no values: test_conductor, one_objective_or_three
- sweeps share one study by default: test_study, sweeps_of_one_name_have_studies_of_their_own
- a missing objective leaves a row running for ever: test_trial, one_that_is_missing_crashed
- a restored searcher leaves zombie rows and runs configurations twice, and a scheduler's state is not saved: here, and
  test_conductor, killed_at_any_moment
- two Tuners with one trainable name run each other's code: test_tuning, each_drive_has_a_trainable_of_its_own
- max_concurrent_trials counts paused trials, and hangs: test_searcher, trials_that_wait_take_no_slot
- a saved searcher holds the database's password: test_searcher, ray_tune_gets_no_copy_and_no_password
- a finished row takes no attributes, and numpy's scalars raise: test_study, an_end_has_all_its_attributes
- heartbeats cover only rows that record one, so that dead rows run for ever: test_study, strays_are_failed
- Alembic's table of versions is Optuna's: tests/sweeps/store/test_database.py
- the dashboard lets anybody delete, and works at the root alone: tests/service/test_dashboard.py

Reports from within Tune and pauses by its scheduler go wrong as well; neither is used (docs/adr/0011).
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import optuna
import psutil
import pytest
from optuna.trial import TrialState

from sweeps.address import read_address
from sweeps.driver_process import child_environment, module_command
from sweeps.errors import WrongState
from sweeps.search.study import NUMBER, open_storage
from sweeps.settings import Settings
from sweeps.store.repository import Repository
from sweeps.store.studies import study_name

HERE = Path(__file__).parent
FAKES = HERE.parent / "sweeps" / "search"
RUNGS = (10, 30, 90)
TRIALS = 30
PRESETS = ("quick_prototype", "high_quality")
RAY = ("raylet", "gcs_server")
KILLED = ("service", "driver", "worker", *RAY)
"""Each of these twice, in a random order."""


class Chaos:
    """A service that is started whenever it is gone, a sweep that is resumed where a driver got nothing done, and a
    killer."""

    def __init__(self, settings: Settings, repository: Repository, seed: int) -> None:
        self.settings, self.repository = settings, repository
        self.chance = random.Random(seed)
        self.due = self.chance.sample(KILLED * 2, 2 * len(KILLED))
        self.services: list[subprocess.Popen[bytes]] = []
        self.resumed = 0
        self.id = ""

    def submit(self, spec: dict[str, Any]) -> None:
        """Ask the service for a sweep."""
        self._serve()
        wait_until(lambda: self._get("/healthz") is not None)
        posted = httpx.post(f"{self._url()}/api/v1/sweeps", json=spec, trust_env=False, timeout=60)
        assert posted.status_code == 201, posted.text
        self.id = posted.json()["id"]

    def run(self) -> None:
        """Kill all that is due, what is not the service each time once some work was begun since; let the sweep end."""
        begun = -1
        while self._goes_on():
            time.sleep(0.05)
            if not self.due:
                continue
            attempts = sum(trial.attempts for trial in self.repository.all_trials(self.id))
            if attempts <= begun and self.due[0] != "service":
                continue
            time.sleep(self.chance.uniform(0.0, 1.5))
            if self._kill(self.due[0]):
                begun = attempts + self.chance.randrange(4)
                del self.due[0]

    def told(self) -> dict[str, Any]:
        """What the service says of the sweep."""
        self._serve()
        wait_until(lambda: self._get("/healthz") is not None)
        told = self._get(f"/api/v1/sweeps/{self.id}")
        assert told is not None
        return told

    def end(self) -> None:
        """Kill whatever is left."""
        for process in [psutil.Process(each.pid) for each in self.services if each.poll() is None] + _of(self.id):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _goes_on(self) -> bool:
        """Whether there is more to do; the service runs then. What it takes up by itself is left to it."""
        sweep = self.repository.get_sweep(self.id)
        if sweep.state == "completed":
            return False
        assert sweep.state != "failed", sweep.error
        if self._serve() or sweep.state != "interrupted" or self._get("/healthz") is None:
            return True
        if self.id in self.repository.sweeps_cut_off():
            return True
        with suppress(WrongState):  # the service was faster
            self.repository.request_resume(self.id)
            self.resumed += 1
        assert self.resumed <= 3 * len(KILLED), f"it does not get on; still to be killed: {self.due}"
        return True

    def _serve(self) -> bool:
        """Start the service where none runs. Returns whether it was started."""
        if self.services and self.services[-1].poll() is None:
            return False
        environment = child_environment(self.settings) | {"F3RM_PORT": "0"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(FAKES), environment.get("PYTHONPATH", "")])
        with (self.settings.data_dir / "service.log").open("ab") as output:
            command = module_command("serve_fake", "Legs")
            self.services.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
        return True

    def _url(self) -> str | None:
        return read_address(self.settings.data_dir)

    def _get(self, path: str) -> dict[str, Any] | None:
        """An answer of the service; None where it does not answer."""
        try:
            found: dict[str, Any] = httpx.get(f"{self._url()}{path}", trust_env=False, timeout=60).json()
            return found
        except (httpx.HTTPError, httpx.InvalidURL):
            return None

    def _kill(self, kind: str) -> bool:
        """kill -9 one process. Returns whether there was one of the kind."""
        driver = self._driver()
        victims = [process for process in self._family(driver) if self._is(kind, process)]
        if not victims:
            return False
        try:
            self.chance.choice(victims).kill()
        except psutil.NoSuchProcess:
            return False
        if kind == "service":
            self.services[-1].wait()
            time.sleep(0.2)
            # A driver outlives the service that started it.
            assert driver is None or driver.is_running() or self.repository.get_sweep(self.id).state != "running"
        return True

    def _driver(self) -> psutil.Process | None:
        lease = self.repository.lease(self.id)
        try:
            return None if lease is None else psutil.Process(lease.process.pid)
        except psutil.NoSuchProcess:
            return None

    def _family(self, driver: psutil.Process | None) -> list[psutil.Process]:
        """The service, the driver, and the driver's."""
        try:
            service = [psutil.Process(self.services[-1].pid)]
            return service + ([driver, *driver.children(recursive=True)] if driver is not None else [])
        except psutil.NoSuchProcess:
            return []

    def _is(self, kind: str, process: psutil.Process) -> bool:
        if kind == "service":
            return process.pid == self.services[-1].pid
        if kind == "driver":
            lease = self.repository.lease(self.id)
            return lease is not None and process.pid == lease.process.pid
        if kind == "worker":
            trials = [trial.number for trial in self.repository.all_trials(self.id) if trial.state == "running"]
            attempts = [self.repository.attempts(self.id, number)[-1] for number in trials]
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
    spec = {
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
    chaos = Chaos(settings, repository, seed=20)
    try:
        chaos.submit(spec)
        chaos.run()
        told = chaos.told()
    finally:
        chaos.end()
    assert chaos.due == []
    sweep = repository.get_sweep(chaos.id)
    assert (told["state"], told["counts"]) == ("completed", dict(sweep.counts))

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


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


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
