"""The service as a child process, for the demo."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sweeps.cli.client import Client, NoService
from sweeps.cli.exits import CommandFailed
from sweeps.driver_process import child_environment, last_line, module_command
from sweeps.errors import InvalidSetting
from sweeps.settings import Settings

START_SECONDS = 60.0
STOP_SECONDS = 15.0


@contextmanager
def running_service(settings: Settings) -> Iterator[Client]:
    """The service of these settings: the one that runs, or one started on a free port and ended afterwards.

    Raises:
        InvalidSetting: the data folder can't be written.
        CommandFailed: it does not start; the message is its own.
    """
    try:
        running = Client.of_data_folder(settings)
    except NoService:
        running = None
    if running is not None:
        yield running
        return
    log = settings.data_dir / "service.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    except OSError as error:
        raise InvalidSetting(
            f"F3RM_DATA_DIR={str(settings.data_dir)!r}: can't be written ({error.strerror}); set it to a folder with "
            "room that you may write to"
        ) from None
    with output:
        process = subprocess.Popen(
            module_command("service"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**child_environment(settings), "F3RM_HOST": "127.0.0.1", "F3RM_PORT": "0"},
            start_new_session=True,  # Ctrl-C is for the demo, which then ends the service
        )
    try:
        yield _wait(settings, process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(settings: Settings, process: subprocess.Popen[bytes]) -> Client:
    log = settings.data_dir / "service.log"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = last_line(log).removeprefix("f3rm-sweeps: ")
            empty = f"it left no word in {log}; make room there, or set F3RM_DATA_DIR to another folder"
            raise CommandFailed(f"the service did not start: {said or empty}")
        try:
            return Client.of_data_folder(settings)
        except NoService:
            time.sleep(0.2)
    raise CommandFailed(f"the service does not answer after {START_SECONDS:g} s; see {log}")
