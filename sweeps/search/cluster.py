"""A local Ray for one driver, or a place in an existing cluster."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray

from f3rm_core import F3RMError
from sweeps.errors import InvalidSpec, Issue
from sweeps.search.gpu_memory import cluster_memory_gb, free_memory_gb
from sweeps.search.lean_ray import lean_ray
from sweeps.search.ray_environment import QUIET, end_users_of
from sweeps.settings import Settings
from sweeps.spec.capacity import check_capacity, check_here
from sweeps.spec.check import memory_samples
from sweeps.spec.memory import peaks_on_gpus
from sweeps.spec.sharing import Sharing, share_gpus
from sweeps.spec.sweep import Plan

log = logging.getLogger("sweeps.driver")

_STARTS = 3
_OBJECT_STORE_BYTES = 100_000_000  # nothing large passes through it; the default is a third of the memory
_SOCKET_PATH_LIMIT = 45  # a Unix socket's path has at most 107 bytes, of which Ray's own part needs 62


@dataclass(frozen=True)
class Slots:
    """What trials get.

    Args:
        concurrent: trials at once.
        cpus, gpus: of one trial.
        sharing: of the GPUs; None: no two trials share one.
    """

    concurrent: int
    cpus: int
    gpus: float
    sharing: Sharing | None = None

    @property
    def device(self) -> str:
        """What trials run on, for the prediction of their memory and for whose results are comparable."""
        return "cuda" if self.gpus else "cpu"


@contextmanager
def ray_cluster(settings: Settings, plan: Plan, *, sweep_folder: Path) -> Iterator[Slots]:
    """Start Ray, or join the cluster of the settings, for the time of the block. Call it in the main thread: a local
    Ray's processes die with the thread that started them, so that a killed driver leaves none.

    Raises:
        InvalidSpec: no machine has what one trial needs.
    """
    folder: Path | None = None
    resources, trials = plan.spec.resources, plan.spec.budget.trials
    if settings.ray_address:
        variables = {**QUIET, **settings.to_environment()}
        ray.init(
            address=settings.ray_address,
            runtime_env={"env_vars": variables},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    else:
        cpus = os.cpu_count() or 1
        _refuse(check_here(resources))
        wanted = min(cpus // resources.cpus_per_trial, resources.max_concurrent or trials, trials)
        folder = _session_folder(sweep_folder)
        _start(wanted * resources.cpus_per_trial, folder)
    try:
        yield _slots(plan, cluster_memory_gb if settings.ray_address else free_memory_gb)
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _start(cpus: int, folder: Path) -> None:
    for attempt in range(_STARTS):
        try:
            with lean_ray():
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _temp_dir=str(folder),
                )
            return
        except Exception as error:  # Ray raises a bare Exception where a process of its own did not start in time
            ray.shutdown()
            if attempt == _STARTS - 1:
                raise F3RMError(f"Ray can't be started on this machine: {str(error).splitlines()[0]}") from error
            log.warning("Ray did not start in time (is the machine busy?); trying again")


def _slots(plan: Plan, gpu_memory_gb: Callable[[], float | None]) -> Slots:
    resources, trials = plan.spec.resources, plan.spec.budget.trials
    total = ray.cluster_resources()
    cpus_there, gpus_there = int(total.get("CPU", 0)), total.get("GPU", 0.0)
    _refuse(check_capacity(resources, cpus=cpus_there, gpus=gpus_there, where="the Ray cluster"))
    gpus = resources.gpus_per_trial
    fit = cpus_there // resources.cpus_per_trial
    sharing = None
    if gpus_there >= 1 and (gpus is None or 0 < gpus < 1):
        sharing = _sharing(plan, gpu_memory_gb(), int(gpus_there), fit)
    if gpus is None:
        gpus = 1 / sharing.together if sharing else min(1.0, gpus_there)
    if gpus > 0:
        # Ray gives a trial a part of one GPU, or whole ones.
        fit = min(fit, int(gpus_there) * trials_a_gpu(gpus) if gpus < 1 else int(gpus_there / gpus))
    if resources.max_concurrent is not None and resources.max_concurrent > fit:
        log.info("resources.max_concurrent=%d: %d trials fit at once", resources.max_concurrent, fit)
    concurrent = max(1, min(fit, resources.max_concurrent or fit, trials))
    return Slots(concurrent, resources.cpus_per_trial, gpus, sharing if sharing and sharing.together > 1 else None)


def _sharing(plan: Plan, memory_gb: float | None, gpus: int, fit: int) -> Sharing | None:
    """How many trials share a GPU: what the spec says, or what its memory bears; None where that is not known."""
    resources = plan.spec.resources
    if resources.gpus_per_trial is not None:
        # On several GPUs room is given for the worst placement; who sets the number has thought of a better one.
        watched_gb = memory_gb if memory_gb is not None and gpus == 1 else math.inf
        return Sharing(trials_a_gpu(resources.gpus_per_trial), watched_gb, "as resources.gpus_per_trial says")
    if memory_gb is None:
        log.info("1 trial a GPU: nvidia-smi does not tell its memory")
        return None
    wanted = min(fit, resources.max_concurrent or fit, plan.spec.budget.trials)
    peaks_gb = peaks_on_gpus(memory_samples(plan), plan.scene)
    sharing = share_gpus(plan, peaks_gb, memory_gb, gpus=gpus, most=math.ceil(wanted / gpus))
    log.info("%s", sharing.reason)
    return sharing


def trials_a_gpu(gpus: float) -> int:
    """Trials that Ray places on one GPU; it counts in ten-thousandths."""
    return max(1, int(1 / (gpus - 1e-9)))


def _refuse(issues: list[Issue]) -> None:
    if issues:
        raise InvalidSpec(issues)


def _session_folder(sweep_folder: Path) -> Path:
    """A short new folder for Ray's sockets and logs; what a killed driver of this sweep left is removed."""
    note = sweep_folder / "ray-session"
    if note.is_file():
        left = Path(note.read_text().strip())
        if left.name.startswith("f3rm-"):
            end_users_of(left)
            shutil.rmtree(left, ignore_errors=True)
    places = [place for place in (tempfile.gettempdir(), "/tmp") if len(place) + 16 <= _SOCKET_PATH_LIMIT]
    folder = Path(tempfile.mkdtemp(prefix="f3rm-", dir=next((p for p in places if os.access(p, os.W_OK)), None)))
    note.write_text(str(folder))
    return folder
