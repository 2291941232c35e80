"""The launcher: one driver process for each sweep that the store says should run.

A loop compares the store with the processes: queued sweeps get a driver, the oldest first, at most `max_drivers` at
once. A request only writes to the store and wakes the loop, so a service that dies between the two loses nothing: the
next one finds the sweep queued. What dead drivers had left when the service started is resumed, once. A sweep whose
driver is killed later is taken up again where that driver had got something done; where not, it stays `interrupted`
until someone resumes it, so that a driver that can't live is not restarted for ever. So does one whose driver was
stopped by a signal: somebody wanted that.

Drivers are detached: they outlive the service and finish by themselves.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from service.settings import ServiceSettings
from sweeps.driver_process import STORE_AWAY, driver_log, last_line, start_driver
from sweeps.errors import UnknownSweep, WrongState
from sweeps.store.records import LeaseRecord
from sweeps.store.repository import Repository
from sweeps.store.states import SweepState

POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)


class _Driver(NamedTuple):
    """A driver that was started, and when one had last taken its sweep before."""

    process: subprocess.Popen[bytes]
    taken_before: datetime | None


class Launcher:
    """Starts drivers in the background.

    Args:
        repository: the store.
        settings: how many drivers at once, and what they are given.
    """

    def __init__(self, repository: Repository, settings: ServiceSettings) -> None:
        self._repository = repository
        self._settings = settings
        self._drivers: dict[str, _Driver] = {}
        self._left: dict[str, LeaseRecord | None] | None = None  # what may have to be resumed, as it was at the start
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="launcher", daemon=True)

    def start(self) -> None:
        """Resume what a dead driver left, then start what is queued, from a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop. Drivers run on."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def wake(self) -> None:
        """Look at the store now: a sweep was queued."""
        self._wake.set()

    def look(self) -> None:
        """One comparison of the store with the processes."""
        for sweep_id, driver in list(self._drivers.items()):
            if driver.process.poll() is not None:
                self._settle(sweep_id, driver)
                del self._drivers[sweep_id]
        for sweep_id in self._repository.sweeps_cut_off():
            self._resume(sweep_id)
        running = {sweep.id for sweep in self._repository.list_sweeps(state="running", limit=200).items}
        places = self._settings.max_drivers - len(running | set(self._drivers))
        waiting = [sweep_id for sweep_id in self._repository.sweeps_to_start() if sweep_id not in self._drivers]
        for sweep_id in waiting:
            if places <= 0:
                break
            if self._state(sweep_id) == "queued":
                self._launch(sweep_id)
                places -= 1

    def resume_interrupted(self) -> None:
        """Queue the sweeps that dead drivers had left at the first call. That a driver is dead which can't be looked at
        from here, as after a restart of the machine, shows once its lease has run out: call this again and again."""
        if self._left is None:
            running = [sweep.id for sweep in self._repository.list_sweeps(state="running", limit=200).items]
            candidates = [*self._repository.sweeps_to_start(), *running]
            self._left = {sweep_id: self._repository.lease(sweep_id) for sweep_id in candidates}
        for sweep_id, lease in list(self._left.items()):
            state = self._state(sweep_id)
            unchanged = self._repository.lease(sweep_id) == lease
            if state == "running" and unchanged:
                continue  # whether its driver lives is not known yet
            if state == "interrupted" and unchanged:
                self._resume(sweep_id)
            del self._left[sweep_id]

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.resume_interrupted()
                self.look()
            except Exception:  # a database that is away for a moment must not end the loop
                logger.exception("the launcher could not compare the store with the drivers")
            self._wake.wait(POLL_SECONDS)

    def _launch(self, sweep_id: str) -> None:
        taken_before = self._repository.last_taken(sweep_id)
        try:
            process = start_driver(self._settings.sweeps, sweep_id)
        except OSError as error:
            self._fail(sweep_id, f"its driver could not be started: {error}")
        else:
            self._drivers[sweep_id] = _Driver(process, taken_before)
            logger.info("sweep %s: driver started, process %d", sweep_id, process.pid)

    def _settle(self, sweep_id: str, driver: _Driver) -> None:
        """A driver that ended without having held the sweep would leave it queued, and be started again for ever."""
        exit_code = driver.process.returncode
        if exit_code == 0:
            return
        log = driver_log(self._settings.sweeps, sweep_id)
        logger.warning("sweep %s: driver ended with code %d; see %s", sweep_id, exit_code, log)
        if exit_code != STORE_AWAY and self._repository.last_taken(sweep_id) == driver.taken_before:
            said = last_line(log) or "it printed nothing"
            self._fail(
                sweep_id,
                f"its driver ended with code {exit_code} before it began: {said} (all of it: {log})",
            )
        elif exit_code == STORE_AWAY and self._state(sweep_id) == "interrupted":
            self._resume(sweep_id)

    def _state(self, sweep_id: str) -> SweepState | None:
        """A sweep's state; None: it was deleted."""
        with suppress(UnknownSweep):
            return self._repository.get_sweep(sweep_id).state
        return None

    def _resume(self, sweep_id: str) -> None:
        with suppress(UnknownSweep, WrongState):  # another process was faster, or it was cancelled meanwhile
            self._repository.request_resume(sweep_id, states=frozenset(("interrupted",)))
            logger.warning("sweep %s was interrupted: resumed", sweep_id)

    def _fail(self, sweep_id: str, error: str) -> None:
        with suppress(UnknownSweep, WrongState):  # cancelled meanwhile, or another process's driver has it
            self._repository.fail_sweep(sweep_id, error)
            logger.error("sweep %s: %s", sweep_id, error)
