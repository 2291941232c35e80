"""The launcher against a real store; drivers are small programs that act as a driver would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.launcher import Launcher
from service.settings import ServiceSettings
from sweeps.driver_process import STORE_AWAY, driver_log
from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.deletion import delete_sweep
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import _started, this_process
from sweeps.store.records import Failed, Process
from sweeps.store.repository import Repository
from tests.played import SPEC

DEAD = Process(this_process().machine, this_process().pid, this_process().started - 100.0)
"""A process of this machine that had our number and is gone."""
BEFORE_THE_REBOOT = Process("this-machine/another-boot", 1234, 1.0)


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
                return subprocess.Popen(
                    [sys.executable, "-c", program], stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )

        monkeypatch.setattr("service.launcher.start_driver", start)

    return use


def queue(store: Repository, name: str = "a") -> str:
    return store.create_sweep(parse_spec({**SPEC, "name": name}))[0].id


def take(store: Repository, sweep_id: str, process: Process | None = None) -> DrivenSweep:
    return DrivenSweep.acquire(store.database, sweep_id, process or this_process(), lease_seconds=60.0, max_attempts=3)


def finish_drivers(launcher: Launcher) -> None:
    for driver in launcher._drivers.values():
        driver.process.wait(30)


def test_a_queued_sweep_gets_one_driver(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("import time; time.sleep(60)")
    sweep_id = queue(store)
    launcher = Launcher(store, settings)
    launcher.look()
    launcher.look()
    assert started == [sweep_id]
    launcher._drivers[sweep_id].process.kill()


def test_no_more_drivers_at_once_than_allowed_the_oldest_first(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("import time; time.sleep(60)")
    ids = [queue(store, name) for name in "abc"]
    launcher = Launcher(store, replace(settings, max_drivers=2))
    launcher.look()
    assert started == ids[:2]
    for one in launcher._drivers.values():
        one.process.kill()


def test_a_sweep_that_another_process_drives_takes_a_place(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("")
    take(store, queue(store))
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
    process = launcher._drivers[sweep_id].process
    by = Process(this_process().machine, process.pid, _started(process.pid))
    held = DrivenSweep.acquire(store.database, sweep_id, by, lease_seconds=60.0, max_attempts=3)
    launcher.look()
    if not killed:
        held.interrupt("its driver was stopped")  # and it gives its lease back
    process.kill()
    process.wait()
    assert store.get_sweep(sweep_id).state == "interrupted"
    store.request_resume(sweep_id)
    launcher.look()
    assert started == [sweep_id, sweep_id]
    assert store.get_sweep(sweep_id).state == "queued"
    launcher._drivers[sweep_id].process.kill()


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
    take(store, sweep_id, DEAD)
    assert store.get_sweep(sweep_id).state == "interrupted"

    launcher = Launcher(store, settings)
    launcher.look()
    assert started == []
    launcher.resume_interrupted()
    launcher.look()
    assert started == [sweep_id]
    launcher._drivers[sweep_id].process.kill()
    take(store, sweep_id, DEAD)
    launcher.resume_interrupted()
    assert store.get_sweep(sweep_id).state == "interrupted"


def test_what_ran_before_the_machine_was_restarted_is_resumed_once_its_lease_has_run_out(
    settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("import time; time.sleep(60)")
    now = [datetime(2030, 1, 1, tzinfo=UTC)]
    store = Repository.open(settings.sweeps.store_url, clock=lambda: now[0])
    dead, alive = queue(store, "dead"), queue(store, "alive")
    take(store, dead, BEFORE_THE_REBOOT)
    elsewhere = take(store, alive, Process("another-machine", 1, 0.0))
    launcher = Launcher(store, replace(settings, max_drivers=5))
    launcher.resume_interrupted()
    launcher.look()
    assert started == []
    now[0] += timedelta(seconds=40)
    elsewhere.renew()
    launcher.resume_interrupted()
    now[0] += timedelta(seconds=40)
    launcher.resume_interrupted()
    launcher.look()
    assert started == [dead]
    launcher._drivers[dead].process.kill()
    now[0] += timedelta(seconds=40)  # another machine's driver was seen alive: what becomes of it is not ours to mend
    launcher.resume_interrupted()
    assert store.get_sweep(alive).state == "interrupted"
    store.close()


def test_a_sweep_whose_driver_was_killed_at_work_is_taken_up(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver("")
    sweep_id = queue(store)
    launcher = Launcher(store, settings)
    for number in range(2):
        launcher.look()
        finish_drivers(launcher)
        held = take(store, sweep_id, DEAD)
        held.add_trial(number, parameters={}, configuration={"seed": 1}, optuna_trial=None, total_steps=10)
        AttemptStore(store.database).finish(held.start_attempt(number).token, Failed("diverged", "NaN"))
    assert store.get_sweep(sweep_id).state == "interrupted"
    launcher.look()
    assert started == [sweep_id] * 3
    finish_drivers(launcher)
    take(store, sweep_id, DEAD)
    launcher.look()
    assert started == [sweep_id] * 3  # it died without getting anything done, and would do so again
    assert store.get_sweep(sweep_id).state == "interrupted"


@pytest.mark.parametrize(("exit_code", "end"), [(1, "failed"), (3, "interrupted")])
def test_a_sweep_resumed_while_its_last_driver_is_still_ending_gets_another(
    store: Repository,
    settings: ServiceSettings,
    driver: Callable[[str], None],
    started: list[str],
    exit_code: int,
    end: str,
) -> None:
    driver(f"import sys; sys.stdin.read(); sys.exit({exit_code})")
    sweep_id = queue(store)
    launcher = Launcher(store, settings)
    launcher.look()
    held = take(store, sweep_id)
    if end == "failed":
        held.finish("failed", stop_reason="it could not go on", error="no trial completed")
    else:
        held.interrupt("its driver was stopped")
    store.request_resume(sweep_id)
    launcher.look()
    finish_drivers(launcher)
    launcher.look()
    assert store.get_sweep(sweep_id).state == "queued"
    assert started == [sweep_id] * 2
    finish_drivers(launcher)


def test_a_driver_that_could_not_reach_the_store_is_followed_by_another(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver(f"import sys; sys.exit({STORE_AWAY})")
    sweep_id = queue(store)
    launcher = Launcher(store, settings)
    launcher.look()
    finish_drivers(launcher)
    launcher.look()  # away before it took the sweep: it is still queued
    assert started == [sweep_id] * 2
    take(store, sweep_id, DEAD)
    finish_drivers(launcher)
    launcher.look()  # away while it held it
    assert started == [sweep_id] * 3
    assert store.get_sweep(sweep_id).state == "queued"
    finish_drivers(launcher)


def test_a_sweep_that_is_deleted_meanwhile_stands_in_no_ones_way(
    settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver(f"import sys; sys.exit({STORE_AWAY})")
    now = [datetime(2030, 1, 1, tzinfo=UTC)]
    store = Repository.open(settings.sweeps.store_url, clock=lambda: now[0])
    before, first = queue(store), queue(store)
    take(store, before, BEFORE_THE_REBOOT)
    launcher = Launcher(store, replace(settings, max_drivers=5))
    launcher.resume_interrupted()
    launcher.look()
    take(store, first, DEAD)
    now[0] += timedelta(seconds=61)
    delete_sweep(store, settings.sweeps, before)
    delete_sweep(store, settings.sweeps, first)
    second = queue(store)
    finish_drivers(launcher)
    launcher.resume_interrupted()
    launcher.look()
    assert started == [first, second]
    finish_drivers(launcher)
    store.close()


def test_a_cancelled_sweep_is_not_resumed_where_its_driver_died_before_it_saw_that(
    store: Repository, settings: ServiceSettings, driver: Callable[[str], None], started: list[str]
) -> None:
    driver(f"import sys; sys.exit({STORE_AWAY})")
    sweep_id = queue(store)
    launcher = Launcher(store, settings)
    launcher.look()
    held = take(store, sweep_id)
    assert store.request_cancel(sweep_id).state == "running"
    held.interrupt("the database was away")
    finish_drivers(launcher)
    launcher.look()
    Launcher(store, settings).resume_interrupted()
    assert store.get_sweep(sweep_id).state == "cancelled"
    assert started == [sweep_id]


def test_a_sweep_that_a_driver_died_with_is_given_up_like_any_other_and_stands_in_no_ones_way(
    store: Repository, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> None:
    def start(_settings: Settings, sweep_id: str) -> None:
        started.append(sweep_id)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.launcher.start_driver", start)
    first, second = queue(store, "a"), queue(store, "b")
    take(store, first, DEAD)
    store.request_resume(first)
    Launcher(store, replace(settings, max_drivers=2)).look()
    assert started == [first, second]
    assert [store.get_sweep(sweep_id).state for sweep_id in started] == ["failed", "failed"]
    assert "No space left" in str(store.get_sweep(first).error)


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
