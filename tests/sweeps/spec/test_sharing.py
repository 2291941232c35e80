"""How many trials share a GPU, worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweeps.spec.sharing import CONTEXT_GB, MOST_TOGETHER, RESERVE, share_gpus
from sweeps.spec.sweep import Plan, check_spec, parse_spec

PEAKS = [2.0] * 9 + [6.0]  # nine in ten take 2 GB


@pytest.fixture
def plan(tiny_scene: Path) -> Any:
    def make(**parts: Any) -> Plan:
        space = {"max_res": {"type": "int", "low": 512, "high": 4096}}
        return check_spec(parse_spec({"name": "s", "scene": str(tiny_scene), "space": space, **parts}))

    return make


def memory_for(trials: int, peak_gb: float) -> float:
    """Memory of a GPU that just holds so many trials."""
    return trials * (peak_gb + CONTEXT_GB) / (1 - RESERVE)


@pytest.mark.parametrize("trials", [1, 2, 3, 4])
def test_on_one_gpu_so_many_as_nine_in_ten_configurations_fit(plan: Any, trials: int) -> None:
    memory = memory_for(trials, 2.0)
    sharing = share_gpus(plan(), PEAKS, 1.001 * memory)
    assert sharing.together == trials
    assert sharing.room_gb == pytest.approx(trials * 2.0, rel=0.01)
    assert share_gpus(plan(), PEAKS, 0.999 * memory).together == max(1, trials - 1)


def test_on_several_gpus_the_largest_configuration_decides(plan: Any) -> None:
    memory = 1.001 * memory_for(2, 6.0)
    assert share_gpus(plan(), PEAKS, memory, gpus=1).together == 4
    assert share_gpus(plan(), PEAKS, memory, gpus=2).together == 2
    assert share_gpus(plan(), PEAKS, 0.9 * memory, gpus=2).together == 1


def test_cpus_and_turns_on_the_processors_bound_it(plan: Any) -> None:
    assert share_gpus(plan(), PEAKS, 1000.0).together == MOST_TOGETHER
    bounded = share_gpus(plan(), PEAKS, 1000.0, most=3)
    assert bounded.together == 3
    assert bounded.reason == (
        "3 trials share a GPU of 1e+03 GB, which would hold 333: 90% of the configurations take 2 GB or less, "
        "predicted, and each process 0.7 GB more"
    )


def test_a_gpu_that_holds_not_even_one_gets_one(plan: Any) -> None:
    sharing = share_gpus(plan(), PEAKS, 1.0)
    assert sharing.together == 1
    assert sharing.reason.startswith("1 trial a GPU of 1 GB: ")


def test_what_is_never_started_does_not_count(plan: Any) -> None:
    limited = plan(constraints={"peak_memory_gb": 3.0})
    assert share_gpus(limited, PEAKS, 1.001 * memory_for(2, 2.0), gpus=2).together == 2


@pytest.mark.parametrize("parts", [{"objectives": ["psnr", "train_seconds"]}, {"constraints": {"render_seconds": 9.0}}])
def test_times_are_measured_on_a_gpu_of_ones_own(plan: Any, parts: dict[str, Any]) -> None:
    sharing = share_gpus(plan(**parts), PEAKS, 80.0)
    assert sharing.together == 1
    assert sharing.reason.endswith("_seconds is asked for, and trials that share a GPU slow each other")


def test_what_nobody_can_predict_is_not_shared(plan: Any) -> None:
    assert share_gpus(plan(), [], 80.0).together == 1
