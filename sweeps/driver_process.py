"""Starting processes of this project: the driver of a sweep, detached, its output in the sweep's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sweeps.settings import Settings

STORE_AWAY = 4
"""Exit code of a driver that could not reach the store for longer than its lease: its sweep is to be resumed."""

_TAIL_BYTES = 4096


def module_command(module: str, *arguments: str) -> list[str]:
    """Command line that runs a module of ours with this Python.

    -P keeps the current folder off the import path: a user's own `sweeps` folder must not replace ours.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment for a child process: these settings, and the same packages as here.

    In a checkout that is not installed the child would not find them, or would find another distribution's
    `sweeps` (wandb's optional one). Installed, they need no help; site-packages in PYTHONPATH would come before the
    standard library.
    """
    environment = os.environ | settings.to_environment()
    root = Path(__file__).resolve().parents[1]
    if root.name not in ("site-packages", "dist-packages"):
        rest = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{rest}" if rest else str(root)
    return environment


def driver_log(settings: Settings, sweep_id: str) -> Path:
    """File that holds what the sweep's drivers printed, one after the other."""
    return settings.sweep_dir(sweep_id) / "driver.log"


def start_driver(settings: Settings, sweep_id: str) -> subprocess.Popen[bytes]:
    """Start `sweeps.search.driver ID` in a session of its own.

    Of its own: neither Ctrl-C in the starter's terminal nor the starter's end reaches it. A driver finishes its sweep
    alone; what stops it is the sweep's state in the store, or its lease.

    Raises:
        OSError: the sweep's folder can't be written.
    """
    log = driver_log(settings, sweep_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            module_command("sweeps.search.driver", sweep_id),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_environment(settings),
            start_new_session=True,
        )


def last_line(log: Path) -> str:
    """The last line that a driver printed; "" where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1] if lines else ""
