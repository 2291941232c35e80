"""Telling processes apart and whether they live, on this machine."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

import psutil

from sweeps.store.records import Process


@cache
def this_machine() -> str:
    """Host name, boot and pid namespace: two processes can only judge each other's life where these agree."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append(f"{psutil.boot_time():.0f}")
    return "/".join(parts)


def this_process() -> Process:
    """This process."""
    return Process(this_machine(), os.getpid(), _started(os.getpid()))


def is_dead(process: Process) -> bool:
    """Whether a process is known to be gone. False for one on another machine: nobody here can know."""
    if process.machine != this_machine():
        return False
    try:
        same = abs(_started(process.pid) - process.started) < 0.1
        return not same or psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def kill_if_alive(process: Process | None) -> bool:
    """Kill a process of this machine if it still lives and is the one meant. Returns whether it was killed."""
    if process is None or process.machine != this_machine() or is_dead(process):
        return False
    try:
        psutil.Process(process.pid).kill()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return True


def _started(pid: int) -> float:
    """When a process started, in seconds; only compared with itself.

    On Linux since boot: psutil adds the boot time, which moves when the clock is set.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return psutil.Process(pid).create_time()
    # The second field is the command in brackets and may hold blanks; starttime is field 22.
    return int(stat.rpartition(")")[2].split()[19]) / float(os.sysconf("SC_CLK_TCK"))
