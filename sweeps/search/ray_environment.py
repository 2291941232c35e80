"""What Ray reads from the environment, set before Ray is imported: it reads much of it at import. And the processes
that a driver and its Ray start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import psutil

from sweeps.settings import Settings

QUIET = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of users mean the same in workers
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "5",  # a cancelled trial that does not report is killed after so long
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Ray Tune's own state is never read back
    "TUNE_WARN_THRESHOLD_S": "30",
}


_MARK = "F3RM_DRIVEN_SWEEP"
"""Variable that everything a driver starts inherits: the sweep's id."""


def set_environment(settings: Settings, sweep_id: str) -> None:
    """Prepare this process for Ray, and what it starts for these settings."""
    os.environ.update(QUIET)
    os.environ[_MARK] = sweep_id
    os.environ.update(settings.to_environment())
    if settings.ray_address is None:
        # A local Ray listens on the network: only this driver's own processes may speak to it.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def local_ray() -> list[psutil.Process]:
    """The processes without which a local Ray stands still: it waits for a raylet that is gone as long as one lets
    it, and a minute for its server."""
    return [child for child in psutil.Process().children(recursive=True) if child.name() in ("raylet", "gcs_server")]


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, also where nobody has taken notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def end_leftovers(sweep_id: str) -> int:
    """Kill what a killed driver of this sweep left running on this machine. Call it under the sweep's lease and before
    `set_environment`. Returns how many were killed."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    killed = 0
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and process.environ().get(_MARK) == sweep_id:
                process.kill()
                killed += 1
        except psutil.Error:  # gone meanwhile, or another user's
            continue
    return killed


def end_users_of(folder: Path) -> None:
    """Kill what has files open in the session folder of a Ray that is gone.

    Its agents are not found by their environment, which they write their title over; they outlive their raylet for a
    minute or so.
    """
    for process in psutil.process_iter():
        try:
            if any(Path(file.path).is_relative_to(folder) for file in process.open_files()):
                process.kill()
        except psutil.Error:  # gone meanwhile, or another user's
            continue
