"""nerfstudio configs of trials, made by the command line in a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from pathlib import Path

from service.errors import ProblemError
from sweeps.driver_process import child_environment, module_command
from sweeps.settings import Settings

TIMEOUT_SECONDS = 120.0
_WRONG_USE = 2  # the command's exit code where the request is at fault


class ConfigExporter:
    """Runs `f3rm-sweeps export --format nerfstudio`, one at a time.

    Building such a config loads nerfstudio and torch: several seconds and half a gigabyte, which the service's own
    process would never give back.

    Args:
        settings: the store and the folders that the command is given.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._one_at_a_time = threading.Lock()

    def export(self, sweep_id: str, trial: int) -> str:
        """The text of the config.

        Raises:
            ProblemError: 422 with the command's own line, or 503 where it takes too long.
        """
        with self._one_at_a_time, tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "config.yml"
            words = ("export", sweep_id, "--trial", str(trial), "--format", "nerfstudio", "--output", str(file))
            try:
                done = subprocess.run(
                    module_command("sweeps.cli", *words),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=child_environment(self._settings),
                    timeout=TIMEOUT_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                detail = f"the export took more than {TIMEOUT_SECONDS:g} s; the machine is busy: try again"
                raise ProblemError(503, "export-timeout", detail) from None
            if done.returncode == 0:
                return file.read_text()
            said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            if done.returncode == _WRONG_USE:
                raise ProblemError(422, "unusable-request", said[0].removeprefix("f3rm-sweeps: "))
            raise RuntimeError(f"export of sweep {sweep_id}, trial {trial}, ended with {done.returncode}: {said[0]}")
