"""One line that says why a sweep has no result."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from podium import RUNGS, Podium

from sweeps.errors import WrongState
from sweeps.search.nothing_completed import why_nothing_completed
from sweeps.settings import Settings
from sweeps.spec.sweep import SweepSpec
from sweeps.store.records import Failed
from sweeps.store.repository import Repository


@pytest.fixture
def podium(repository: Repository, settings: Settings, spec_of: Callable[..., SweepSpec]) -> Callable[..., Podium]:
    return lambda **parts: Podium(repository, settings, spec_of(**{"fidelity": RUNGS, "objectives": ["psnr"], **parts}))


def why(desk: Podium) -> str:
    return why_nothing_completed(desk.trials(), desk.held.rungs(), desk.plan.spec.constraints)


def test_the_first_failure_is_named(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 4})
    for number in range(4):
        job = desk.conductor.next_job()
        assert job is not None
        desk.work(job, Failed(("oom", "diverged")[number % 2], f"trial {number} went wrong") if number else None)
    assert why(desk) == "no trial completed (2 diverged, 1 waiting at a rung, 1 oom); trial 1: trial 1 went wrong"


def test_the_constraint_that_none_kept_is_named_and_how_near_one_came(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 3}, constraints={"peak_memory_gb": 8.0, "psnr": 5.0})
    for used in (12.0, 9.5, 16.0):
        job = desk.conductor.next_job()
        assert job is not None
        desk.work(job, desk.result(job, peak_memory_gb=used))
    assert desk.conductor.next_job() is None
    assert why(desk) == (
        "no trial completed (3 stopped at a rung); none keeps constraints.peak_memory_gb=8: the nearest, trial 1, "
        "measured 9.5"
    )
    desk.held.finish("failed", stop_reason="all 3 trials ended", error=why(desk))
    with pytest.raises(WrongState, match=r"3 trials have ended \(3 stopped at a rung\) and would end so again"):
        desk.repository.request_resume(desk.sweep.id)


def test_what_waits_had_too_little_time(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 9})
    assert why(desk) == "no trial was started within its budget of hours; give it more"
    for _ in range(2):
        job = desk.conductor.next_job()
        assert job is not None
        desk.work(job)
    assert why(desk) == "no trial completed (2 waiting at a rung) within its budget of hours; give it more"
