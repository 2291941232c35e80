"""What trials get of a cluster. Ray's own word is played, but for one test that asks a real Ray."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.errors import InvalidSpec
from sweeps.search import cluster
from sweeps.search.cluster import Slots, trials_a_gpu
from sweeps.search.gpu_memory import free_memory_gb
from sweeps.spec.sweep import SweepSpec, check_spec

MakeSpec = Callable[..., SweepSpec]


@pytest.fixture
def slots(spec_of: MakeSpec, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., Slots]:
    """The slots of a cluster with so many CPUs and GPUs."""
    caplog.set_level(logging.INFO, logger="sweeps.driver")

    def of(cpus: int, gpus: float, memory_gb: float | None = 100.0, *, trials: int = 50, **resources: Any) -> Slots:
        there = {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})
        monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: there)
        plan = check_spec(spec_of(resources=resources, budget={"trials": trials}))
        return cluster._slots(plan, lambda: memory_gb)

    return of


def shape(found: Slots) -> tuple[int, float, int]:
    """Trials at once, a trial's part of a GPU turned over, and trials that share one."""
    return found.concurrent, round(1 / found.gpus, 6), found.sharing.together if found.sharing else 1


def test_without_gpus_only_cpus_count(slots: Callable[..., Slots]) -> None:
    assert slots(8, 0, cpus_per_trial=2) == Slots(4, 2, 0.0, None)
    assert slots(8, 0, trials=3) == Slots(3, 1, 0.0, None)


def test_as_many_trials_share_a_gpu_as_its_memory_bears(
    slots: Callable[..., Slots], caplog: pytest.LogCaptureFixture
) -> None:
    assert shape(slots(16, 2)) == (8, 4, 4)
    assert "4 trials share a GPU of 100 GB, which would hold" in caplog.text
    assert shape(slots(16, 2, 0.5)) == (2, 1, 1)
    assert "1 trial a GPU of 0.5 GB: " in caplog.text


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"cpus_per_trial": 4}, (4, 2, 2)),  # sixteen CPUs bear four trials
        ({"max_concurrent": 3}, (3, 2, 2)),
        ({"max_concurrent": 2}, (2, 1, 1)),  # each its own
        ({"trials": 5}, (5, 3, 3)),
    ],
)
def test_more_than_can_run_at_once_do_not_share(
    slots: Callable[..., Slots], asked: dict[str, Any], expected: tuple[int, float, int]
) -> None:
    assert shape(slots(16, 2, **asked)) == expected


def test_a_fraction_that_is_asked_for_is_given_and_on_one_gpu_its_memory_watched(slots: Callable[..., Slots]) -> None:
    found = slots(16, 2, gpus_per_trial=0.4)
    assert (found.concurrent, found.gpus) == (4, 0.4)  # two on each: Ray gives a trial no parts of two GPUs
    assert found.sharing is not None
    assert (found.sharing.together, found.sharing.room_gb) == (2, math.inf)  # out of memory is still tried again alone
    alone = slots(16, 1, gpus_per_trial=0.25)
    assert alone.sharing is not None
    assert (alone.concurrent, alone.sharing.together, alone.sharing.gpu_memory_gb) == (4, 4, 100.0)
    assert slots(16, 2, gpus_per_trial=1.0) == Slots(2, 1, 1.0, None)
    assert slots(16, 4, gpus_per_trial=2.0) == Slots(2, 1, 2.0, None)
    assert slots(16, 2, gpus_per_trial=0.0) == Slots(16, 1, 0.0, None)


def test_a_gpu_whose_memory_nobody_knows_is_shared_only_where_that_is_asked_for(
    slots: Callable[..., Slots], caplog: pytest.LogCaptureFixture
) -> None:
    assert slots(16, 2, None) == Slots(2, 1, 1.0, None)
    assert "nvidia-smi does not tell its memory" in caplog.text
    found = slots(16, 1, None, gpus_per_trial=0.5)
    assert found.sharing is not None
    assert (found.concurrent, found.sharing.together, found.sharing.room_gb) == (2, 2, math.inf)


def test_what_the_cluster_has_not_is_refused(slots: Callable[..., Slots]) -> None:
    with pytest.raises(InvalidSpec, match=r"resources\.gpus_per_trial=3\.0: the Ray cluster has 2 GPUs"):
        slots(16, 2, gpus_per_trial=3.0)
    with pytest.raises(InvalidSpec, match=r"resources\.cpus_per_trial=32: the Ray cluster has 16 CPUs"):
        slots(16, 2, cpus_per_trial=32)


@pytest.mark.parametrize(("gpus", "trials"), [(1.0, 1), (0.5, 2), (1 / 3, 3), (0.4, 2), (0.25, 4), (2.0, 1)])
def test_trials_a_gpu(gpus: float, trials: int) -> None:
    assert trials_a_gpu(gpus) == trials


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("24000, [N/A]", 24000 * 2**20 / 1e9),
        ("24000, Disabled\n80000, Disabled", 24000 * 2**20 / 1e9),
        ("80000, Enabled", None),
        ("24000, [N/A]\n[Insufficient Permissions], [N/A]", None),
        ("No devices were found", None),
        ("", None),
    ],
)
def test_nvidia_smis_word(nvidia_smi: Callable[..., None], said: str, expected: float | None) -> None:
    nvidia_smi(said)
    assert free_memory_gb() == expected


def test_no_nvidia_smi_and_one_that_fails(
    nvidia_smi: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver", exit_code=9)
    assert free_memory_gb() is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert free_memory_gb() is None


_REAL = """
import ray
from sweeps.search.gpu_memory import cluster_memory_gb

ray.init(num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

@ray.remote(num_cpus=1)
class Holder:
    def hold(self):
        return 1

third = [Holder.options(num_gpus=1 / 3).remote() for _ in range(3)]
assert ray.get([actor.hold.remote() for actor in third], timeout=60) == [1, 1, 1]  # all three at once
print(cluster_memory_gb())
"""


def test_a_real_ray_places_three_thirds_and_tells_the_memory_of_its_nodes(nvidia_smi: Callable[..., None]) -> None:
    nvidia_smi("40000, Disabled")
    ran = subprocess.run([sys.executable, "-c", _REAL], capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) == 40000 * 2**20 / 1e9


@pytest.mark.gpu
def test_what_nvidia_smi_has_free_is_what_pytorch_sees() -> None:
    import torch

    seen = min(torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count()))
    assert free_memory_gb() == pytest.approx(seen / 1e9, abs=2)
