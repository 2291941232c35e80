"""The launcher: one driver process for each sweep that the store says should run.

A loop compares the store with the processes: queued sweeps get a driver, the oldest first, at most `max_drivers` at
once. A request only writes to the store and wakes the loop, so a service that dies between the two loses nothing: the
next one finds the sweep queued. At start, sweeps that a dead driver left are resumed once; a sweep whose driver dies
later stays `interrupted` until someone resumes it, so that a driver that can't live is not restarted for ever.

Drivers are detached: they outlive the service and finish by themselves.
"""

from __future__ import annotations

import logging
import subprocess
import threading

from service.settings import ServiceSettings
from sweeps.driver_process import driver_log, last_line, start_driver
from sweeps.errors import UnknownSweep, WrongState
from sweeps.store.repository import Repository

POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Launcher:
    """Starts drivers in the background.

    Args:
        repository: the store.
        settings: how many drivers at once, and what they are given.
    """

    def __init__(self, repository: Repository, settings: ServiceSettings) -> None:
        self._repository = repository
        self._settings = settings
        self._drivers: dict[str, subprocess.Popen[bytes]] = {}
        self._began: set[str] = set()  # sweeps that their driver was seen to hold
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
            if driver.poll() is not None:
                del self._drivers[sweep_id]
                self._settle(sweep_id, driver.returncode)
        running = {sweep.id for sweep in self._repository.list_sweeps(state="running", limit=200).items}
        self._began |= running & set(self._drivers)
        places = self._settings.max_drivers - len(running | set(self._drivers))
        waiting = [sweep_id for sweep_id in self._repository.sweeps_to_start() if sweep_id not in self._drivers]
        for sweep_id in waiting:
            if places <= 0:
                break
            if self._repository.get_sweep(sweep_id).state == "queued":
                self._launch(sweep_id)
                places -= 1

    def resume_interrupted(self) -> None:
        """Queue the sweeps that a dead driver left."""
        for sweep_id in self._repository.sweeps_to_start():
            try:
                if self._repository.get_sweep(sweep_id).state == "interrupted":
                    self._repository.request_resume(sweep_id)
                    logger.warning("sweep %s was interrupted: resumed", sweep_id)
            except WrongState:  # another process was faster
                continue

    def _run(self) -> None:
        try:
            self.resume_interrupted()
        except Exception:
            logger.exception("interrupted sweeps could not be resumed")
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.look()
            except Exception:  # a database that is away for a moment must not end the loop
                logger.exception("the launcher could not compare the store with the drivers")
            self._wake.wait(POLL_SECONDS)

    def _launch(self, sweep_id: str) -> None:
        self._began.discard(sweep_id)
        try:
            self._drivers[sweep_id] = start_driver(self._settings.sweeps, sweep_id)
        except OSError as error:
            self._fail(sweep_id, f"its driver could not be started: {error}")
        else:
            logger.info("sweep %s: driver started, process %d", sweep_id, self._drivers[sweep_id].pid)

    def _settle(self, sweep_id: str, exit_code: int) -> None:
        """A driver that ended without having held the sweep would leave it queued, and be started again for ever."""
        if exit_code == 0:
            return
        log = driver_log(self._settings.sweeps, sweep_id)
        logger.warning("sweep %s: driver ended with code %d; see %s", sweep_id, exit_code, log)
        if sweep_id in self._began:  # where it is queued again, somebody has resumed it since
            return
        try:
            if self._repository.get_sweep(sweep_id).state == "queued":
                said = last_line(log) or "it printed nothing"
                self._fail(
                    sweep_id,
                    f"its driver ended with code {exit_code} before it began: {said} (all of it: {log})",
                )
        except (UnknownSweep, WrongState):  # it is gone, or was held after all
            return

    def _fail(self, sweep_id: str, error: str) -> None:
        logger.error("sweep %s: %s", sweep_id, error)
        self._repository.fail_sweep(sweep_id, error)
