"""The launcher against a real store; drivers are small programs that act as a driver would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from service.launcher import Launcher
from service.settings import ServiceSettings
from sweeps.driver_process import driver_log
from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import _started, this_process
from sweeps.store.records import Process
from sweeps.store.repository import Repository
from tests.played import SPEC

Start = Callable[[Settings, str], "subprocess.Popen[bytes]"]


@pytest.fixture
def started() -> list[str]:
    """Ids of the sweeps that a driver was started for."""
    return []


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, started: list[str]) -> Callable[[str], None]:
    """Replace the driver by a line of Python."""

    def use(program: str) -> None:
        def start(settings: Settings, sweep_id: str) -> subprocess.Popen[bytes]:
            started.append(sweep_id)
            log = driver_log(settings, sweep_id)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                return subprocess.Popen([sys.executable, "-c", program], stdout=output, stderr=output)

        monkeypatch.setattr("service.launcher.start_driver", start)

    return use


def queue(store: Repository, name: str = "a") -> str:
    return store.create_sweep(parse_spec({**SPEC, "name": name}))[0].id


def finish_drivers(launcher: Launcher) -> None:
    for process in launcher._drivers.values():
        process.wait(30)


def test_a_queued_sweep_gets_one_driver(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("import time; time.sleep(60)")
    sweep_id = queue(store)
    launcher = Launcher(store, settings)
    launcher.look()
    launcher.look()
    assert started == [sweep_id]
    launcher._drivers[sweep_id].kill()


def test_no_more_drivers_at_once_than_allowed_the_oldest_first(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("import time; time.sleep(60)")
    ids = [queue(store, name) for name in "abc"]
    launcher = Launcher(store, replace(settings, max_drivers=2))
    launcher.look()
    assert started == ids[:2]
    for process in launcher._drivers.values():
        process.kill()


def test_a_sweep_that_another_process_drives_takes_a_place(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("")
    DrivenSweep.acquire(store.database, queue(store), this_process(), lease_seconds=60.0, max_attempts=3)
    queue(store, "b")
    Launcher(store, settings).look()
    assert started == []


def test_a_driver_that_dies_before_it_began_fails_the_sweep_with_its_last_words(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("import sys; sys.exit('no space left on device')")
    sweep_id = queue(store)
    launcher = Launcher(store, settings)
    launcher.look()
    finish_drivers(launcher)
    launcher.look()
    sweep = store.get_sweep(sweep_id)
    assert sweep.state == "failed"
    assert "no space left on device" in str(sweep.error)
    launcher.look()
    assert started == [sweep_id]


@pytest.mark.parametrize("killed", [True, False])
def test_a_driver_that_held_the_sweep_is_no_reason_to_fail_it(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str], killed: bool
) -> None:
    """Whoever resumes it may be faster than the loop, which then finds it queued, and its driver dead."""
    driver("import time; time.sleep(60)")
    sweep_id = queue(store)
    launcher = Launcher(store, settings)
    launcher.look()
    process = launcher._drivers[sweep_id]
    by = Process(this_process().machine, process.pid, _started(process.pid))
    held = DrivenSweep.acquire(store.database, sweep_id, by, lease_seconds=60.0, max_attempts=3)
    launcher.look()
    if not killed:
        held.interrupt("Ray was killed")  # and it gives its lease back
    process.kill()
    process.wait()
    assert store.get_sweep(sweep_id).state == "interrupted"
    store.request_resume(sweep_id)
    launcher.look()
    assert started == [sweep_id, sweep_id]
    assert store.get_sweep(sweep_id).state == "queued"
    launcher._drivers[sweep_id].kill()


def test_a_driver_that_cant_be_started_fails_the_sweep(
    store: Repository, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/data/sweeps")

    monkeypatch.setattr("service.launcher.start_driver", start)
    sweep_id = queue(store)
    Launcher(store, settings).look()
    assert "Permission denied" in str(store.get_sweep(sweep_id).error)


def test_what_a_dead_driver_left_is_resumed_at_the_start_only(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("import time; time.sleep(60)")
    sweep_id = queue(store)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = Process(machine=this_process().machine, pid=ended.pid, started=0.0)
    DrivenSweep.acquire(store.database, sweep_id, dead, lease_seconds=60.0, max_attempts=3)
    assert store.get_sweep(sweep_id).state == "interrupted"

    launcher = Launcher(store, settings)
    launcher.look()
    assert started == []
    launcher.resume_interrupted()
    launcher.look()
    assert started == [sweep_id]
    launcher._drivers[sweep_id].kill()


def test_the_loop_starts_what_is_queued_and_ends_when_told(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("")
    launcher = Launcher(store, settings)
    launcher.start()
    sweep_id = queue(store)
    launcher.wake()
    for _ in range(200):
        if started:
            break
        launcher._thread.join(0.05)
    launcher.stop()
    assert started[:1] == [sweep_id]
    assert not launcher._thread.is_alive()


def test_the_loop_outlives_a_store_that_fails_for_a_moment(
    store: Repository, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail() -> list[str]:
        calls.append(1)
        raise OSError("database is away")

    monkeypatch.setattr(store, "sweeps_to_start", fail)
    monkeypatch.setattr("service.launcher.POLL_SECONDS", 0.01)
    launcher = Launcher(store, settings)
    launcher.start()
    for _ in range(400):
        if len(calls) > 3:
            break
        launcher._thread.join(0.05)
    assert launcher._thread.is_alive()
    launcher.stop()
