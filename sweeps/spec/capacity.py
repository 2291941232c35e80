"""What one trial asks for against what there is: told before a sweep is stored, and again where it is driven."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from sweeps.errors import Issue

if TYPE_CHECKING:
    from sweeps.spec.sweep import Resources


def check_capacity(resources: Resources, *, cpus: int, gpus: float | None, where: str) -> list[Issue]:
    """What one trial needs and no machine has.

    Args:
        resources: of the spec.
        cpus, gpus: what there is; None: not known.
        where: whose they are, such as "this machine".
    """
    issues = []
    if resources.cpus_per_trial > cpus:
        remedy = f"{where} has {_counted(cpus, 'CPU')}; give at most so many"
        issues.append(Issue("resources.cpus_per_trial", resources.cpus_per_trial, remedy))
    wanted = resources.gpus_per_trial
    if wanted is not None and gpus is not None and wanted > gpus:
        there = f"{_counted(gpus, 'GPU')}; give at most so many" if gpus else "no GPU; give 0, or leave it out"
        issues.append(Issue("resources.gpus_per_trial", wanted, f"{where} has {there}"))
    return issues


def check_here(resources: Resources) -> list[Issue]:
    """What one trial needs and this machine has not."""
    return check_capacity(resources, cpus=os.cpu_count() or 1, gpus=gpus_here(), where="this machine")


def gpus_here() -> int | None:
    """GPUs that this machine shows and does not hide from CUDA; None where that takes a driver to tell. Asks none and
    loads no torch."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    shown = None if hidden is None else len([one for one in hidden.split(",") if one not in ("", "-1", "NoDevFiles")])
    found = len(glob.glob("/dev/nvidia[0-9]*"))
    if shown == 0:
        return 0
    if not found and any(map(os.path.exists, ("/dev/dxg", "/dev/kfd"))):  # Windows' Linux; AMD
        return None
    return found if shown is None else min(found, shown)


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
