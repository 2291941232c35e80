"""A conductor whose trials share GPUs: what waits, what is learned, and what is tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from optuna.trial import TrialState
from podium import RUNGS, Podium

from sweeps.search.packing import Need, Packing
from sweeps.search.stopping import Stop
from sweeps.search.study import NUMBER
from sweeps.search.trial import TrialJob
from sweeps.settings import Settings
from sweeps.spec.sharing import CONTEXT_GB, RESERVE, Sharing
from sweeps.spec.sweep import SweepSpec
from sweeps.store.attempts import AttemptStore
from sweeps.store.records import Completed, Failed
from sweeps.store.repository import Repository

ROOM_GB = 10.0
SPACE = {"train_num_rays_per_batch": {"type": "int", "low": 2, "high": 9000}}
OOM = Failed("oom", "CUDA out of memory", "Traceback ...")


def need(configuration: Mapping[str, Any]) -> Need:
    """A GB for each thousand rays."""
    return Need(configuration["train_num_rays_per_batch"] / 1000)


class GpuPodium(Podium):
    """Two trials share a GPU; each takes what it is predicted to, times `error`."""

    device = "cuda"
    error = 1.0

    def take_over(self) -> None:
        super().take_over()
        memory_gb = (ROOM_GB + 2 * CONTEXT_GB) / (1 - RESERVE)
        self.packing = Packing(Sharing(2, memory_gb, "by hand"), need)
        self.conductor.share_gpus(self.packing)

    def result(self, job: TrialJob, **more: float) -> Completed:
        taken = self.error * need(job.configuration).counted
        metrics = {"psnr": 20.0 + taken, "train_seconds": job.steps / 10, "peak_memory_gb": taken}
        return Completed({**metrics, **more}, "tcnn", "cuda", 1, job.steps, job.steps / 10, checkpoint="x")

    def start(self) -> TrialJob:
        job = self.conductor.next_job()
        assert job is not None
        return job


@pytest.fixture
def podium(
    repository: Repository, settings: Settings, spec_of: Callable[..., SweepSpec], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., GpuPodium]:
    """A sweep whose trials are predicted to take so many GB, one after the other; each number once."""
    points: list[dict[str, Any]] = []
    monkeypatch.setattr("sweeps.spec.sweep.preset_points", lambda *_: (points, []))

    def make(*gb: float, **parts: Any) -> GpuPodium:
        points[:] = [{"train_num_rays_per_batch": int(1000 * each)} for each in gb]
        whole = {"fidelity": {"rungs": [10]}, "objectives": ["psnr"], "budget": {"trials": len(gb)}, **parts}
        return GpuPodium(repository, settings, spec_of(space=SPACE, **whole))

    return make


def test_one_that_does_not_fit_waits_and_none_is_let_past(
    podium: Callable[..., GpuPodium], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="sweeps.driver")
    desk = podium(4, 5, 6, 1)
    first, second = desk.start(), desk.start()
    for _ in range(3):
        assert desk.conductor.next_job() is None
    assert [trial.state for trial in desk.trials()] == ["running", "running", "queued"]
    assert caplog.text.count("trial 2: waits until there is room on the GPUs") == 1
    desk.work(first)
    assert desk.conductor.next_job() is None  # 5 and 6
    desk.work(second)
    assert desk.start().number == 2
    assert desk.start().number == 3
    assert all(job.shares_gpu for job in (first, second))


def test_one_that_is_lost_is_queued_behind_it(podium: Callable[..., GpuPodium]) -> None:
    desk = podium(4, 5, 6)
    first, second = desk.start(), desk.start()
    assert desk.conductor.next_job() is None
    desk.conductor.ended(first.number, "its worker is gone", None)
    assert desk.conductor.next_job() is None  # though 4 would fit beside 5
    desk.work(second)
    assert [desk.start().number, desk.start().number] == [2, 0]


def test_what_waits_survives_the_driver(podium: Callable[..., GpuPodium]) -> None:
    desk = podium(6, 6.1)
    desk.start()
    assert desk.conductor.next_job() is None
    desk.take_over()
    desk.play()
    assert [(trial.state, trial.attempts) for trial in desk.trials()] == [("completed", 2), ("completed", 1)]


def test_one_that_would_go_on_waits_where_it_is(
    podium: Callable[..., GpuPodium], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="sweeps.driver")
    desk = podium(6, 1, 2, fidelity=RUNGS)
    jobs = [desk.start() for _ in range(3)]
    desk.work(jobs[0], desk.result(jobs[0], peak_memory_gb=9.5))
    desk.work(jobs[1])
    # The best of two may go on to the next rung: it was measured to take 9.5, which does not fit beside 2.
    assert desk.conductor.next_job() is None
    assert "trial 0: waits until there is room on the GPUs" in caplog.text
    assert [trial.state for trial in desk.trials()] == ["paused", "paused", "running"]
    desk.work(jobs[2])
    goes_on = desk.start()
    assert (goes_on.number, goes_on.steps, goes_on.peak_memory_gb_before) == (0, 30, 9.5)


def test_measurements_correct_predictions_also_after_a_restart(podium: Callable[..., GpuPodium]) -> None:
    desk = podium(1, 1.1, 1.2, 4, 4.1)
    desk.error = 1.5
    for _ in range(3):
        desk.work(desk.start())
    assert desk.packing.correction == pytest.approx(1.5)
    desk.take_over()
    assert desk.packing.correction == pytest.approx(1.5)
    desk.start()
    assert desk.conductor.next_job() is None  # 6 and 6.15, where predictions say 4 and 4.1


def test_out_of_memory_in_company_is_tried_again_alone(podium: Callable[..., GpuPodium]) -> None:
    desk = podium(4, 4.1, 1)
    first, second = desk.start(), desk.start()
    desk.conductor.ended(second.number, OOM.message, OOM)
    assert desk.conductor.next_job() is None  # it waits, and so does the third
    desk.work(first)
    again = desk.start()
    assert (again.number, again.configuration) == (1, second.configuration)
    assert desk.conductor.next_job() is None
    desk.work(again)
    assert desk.start().number == 2
    attempts = desk.repository.attempts(desk.sweep.id, 1)
    assert [attempt.outcome for attempt in attempts] == ["lost", "completed"]
    assert attempts[0].message == "CUDA out of memory; others may have shared its GPU: next it runs alone"


def test_out_of_memory_alone_is_held_against_it(podium: Callable[..., GpuPodium]) -> None:
    desk = podium(4, 4.1)
    first, second = desk.start(), desk.start()
    desk.conductor.ended(second.number, OOM.message, OOM)
    desk.work(first)
    desk.conductor.ended(desk.start().number, OOM.message, OOM)
    failed = desk.trials()[1]
    assert (failed.state, failed.failure_reason, failed.failure_detail) == ("failed", "oom", "Traceback ...")
    assert [attempt.outcome for attempt in desk.repository.attempts(desk.sweep.id, 1)] == ["lost", "failed"]
    assert desk.conductor.next_job() is None


def test_a_driver_that_dies_over_it_holds_nothing_against_it(podium: Callable[..., GpuPodium]) -> None:
    desk = podium(4, 4.1)
    desk.start()
    desk.start()
    desk.take_over()  # the worker has told its driver, and nobody else
    desk.play()
    assert [trial.state for trial in desk.trials()] == ["completed", "completed"]


def test_what_waits_when_the_sweep_ends_is_left_running_nowhere(podium: Callable[..., GpuPodium]) -> None:
    desk = podium(6, 6.1)
    first = desk.start()
    assert desk.conductor.next_job() is None
    desk.conductor.stop = Stop("hours", "hours: over")
    desk.work(first)
    assert desk.conductor.next_job() is None
    desk.conductor.stop_waiting()
    desk.held.finish("completed", stop_reason="hours: over")
    assert [trial.state for trial in desk.trials()] == ["completed", "cancelled"]
    assert [(row.user_attrs[NUMBER], row.state) for row in desk.rows()] == [
        (0, TrialState.COMPLETE),
        (1, TrialState.FAIL),
    ]


def test_a_worker_that_has_ended_it_is_believed(podium: Callable[..., GpuPodium]) -> None:
    """Ray may tell of a failure where the worker had stored its end."""
    desk = podium(4, 4.1)
    first, second = desk.start(), desk.start()
    AttemptStore(desk.repository.database).finish(second.token, desk.result(second))
    desk.conductor.ended(second.number, OOM.message, OOM)
    assert desk.trials()[1].state == "completed"
    desk.work(first)
