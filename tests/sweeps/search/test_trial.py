"""One attempt in a worker: how each end of a training is stored. No Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_trainers import metrics_of

from f3rm_core import (
    CheckpointError,
    Diverged,
    InvalidParameter,
    OutOfMemory,
    Report,
    SceneError,
    TrainResult,
    load_scene,
    scene_digest,
)
from sweeps.errors import StoreUnavailable
from sweeps.search import trial
from sweeps.search.trial import Outcome, TrialJob, failure_of, run_attempt
from sweeps.settings import Settings
from sweeps.spec.sweep import SweepSpec
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.patience import Patience
from sweeps.store.processes import this_process
from sweeps.store.records import Failed
from sweeps.store.repository import Repository

Train = Callable[[TrialJob, Callable[[Report], None], Path | None], TrainResult]


class Trainer:
    """A trainer that is a function."""

    def __init__(self, train: Train) -> None:
        self.train = train

    def prepare(self, job: TrialJob) -> None:
        """Nothing."""


class Bench:
    """A running trial, and what becomes of it."""

    def __init__(
        self, repository: Repository, settings: Settings, spec: SweepSpec, scene: str = "nowhere", **job: Any
    ) -> None:
        self.repository = repository
        sweep, _ = repository.create_sweep(spec)
        self.id = sweep.id
        self.held = DrivenSweep.acquire(repository.database, sweep.id, this_process(), lease_seconds=60, max_attempts=3)
        configuration = {"feat_loss_weight": 1.0, "seed": 1, "steps_per_save": 100}
        self.held.add_trial(0, parameters={}, configuration=configuration, optuna_trial=0, total_steps=10)
        self.job = TrialJob(
            sweep_id=sweep.id,
            number=0,
            token=self.held.start_attempt(0).token,
            configuration=configuration,
            scene=scene,
            objectives=("psnr", "feature_gain"),
            steps=10,
            threads=1,
            sweep_folder=settings.sweep_dir(sweep.id),
            **job,
        )

    def run(self, train: Train) -> Outcome | Failed:
        return run_attempt(self.job, AttemptStore(self.repository.database), Trainer(train))

    @property
    def trial(self) -> Any:
        return self.repository.get_trial(self.id, 0)


@pytest.fixture
def make_bench(repository: Repository, settings: Settings, spec_of: Callable[..., SweepSpec]) -> Callable[..., Bench]:
    return lambda **job: Bench(repository, settings, spec_of(), **job)


def result(metrics: Mapping[str, float], job: TrialJob) -> TrainResult:
    picture = job.folder / "panel.png"
    picture.write_bytes(b"")
    return TrainResult(
        metrics, "numba", "cpu", 1, 10, 2.0, 1000, 1, job.checkpoint_folder / "x.ckpt", {"panel": picture}
    )


def test_a_good_end_is_stored_with_paths_that_can_be_moved(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    outcome = bench.run(lambda job, on_report, resume: result(metrics_of(1.0) | {"lpips": float("nan")}, job))
    assert outcome == "completed"
    stored = bench.trial
    assert (stored.state, stored.metrics) == ("completed", metrics_of(1.0))
    assert stored.pictures == {"panel": "trials/0000/panel.png"}
    assert stored.checkpoint == "trials/0000/checkpoints/x.ckpt"
    environment = bench.repository.attempts(bench.id, 0)[0].environment
    assert environment["threads"] == 1
    assert environment["torch"]
    assert "scene_digest" not in environment  # there is no such scene


def test_the_scenes_content_is_noted(make_bench: Callable[..., Bench], tiny_scene: Path) -> None:
    bench = make_bench(scene=str(tiny_scene))
    bench.run(lambda job, on_report, resume: result(metrics_of(1.0), job))
    environment = bench.repository.attempts(bench.id, 0)[0].environment
    assert environment["scene_digest"] == scene_digest(load_scene(str(tiny_scene)))


def test_a_worker_that_hangs_over_its_scene_has_said_which_process_it_is(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()
    known: list[object] = []

    def hang(_scene: str) -> None:
        known.append(bench.repository.attempts(bench.id, 0)[0].process)
        raise SceneError("the disk is gone")

    monkeypatch.setattr(trial, "load_scene", hang)
    assert bench.run(lambda job, on_report, resume: result(metrics_of(1.0), job)) == "completed"
    assert known == [this_process()]


@pytest.mark.parametrize(
    ("error", "reason", "outcome", "message"),
    [
        (Diverged("loss is nan"), "diverged", "failed", "loss is nan"),
        (OutOfMemory("wanted 9 GB"), "oom", "failed", "wanted 9 GB"),
        (MemoryError(), "oom", "failed", "out of memory: MemoryError"),
        (InvalidParameter("max_res", 1, "too small"), "invalid", "failed", "max_res=1: too small"),
        (SceneError("scene x: gone"), "crashed", "spoiled", "scene x: gone"),
        (ValueError("a bug\nin two lines"), "crashed", "spoiled", "ValueError: a bug"),
        (KeyError(), "crashed", "spoiled", "KeyError: KeyError"),
    ],
)
def test_every_exception_has_its_reason(
    make_bench: Callable[..., Bench], error: Exception, reason: str, outcome: str, message: str
) -> None:
    bench = make_bench()

    def train(job: TrialJob, on_report: Callable[[Report], None], resume: Path | None) -> TrainResult:
        raise error

    assert bench.run(train) == outcome
    stored = bench.trial
    assert (stored.state, stored.failure_reason, stored.failure_message) == ("failed", reason, message)
    assert stored.metrics == {}


def test_out_of_memory_on_a_shared_gpu_is_left_to_the_driver(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(shares_gpu=True)

    def train(job: TrialJob, on_report: Callable[[Report], None], resume: Path | None) -> TrainResult:
        raise OutOfMemory("wanted 9 GB")

    failure = bench.run(train)
    assert isinstance(failure, Failed)
    assert (failure.reason, failure.message) == ("oom", "wanted 9 GB")
    assert "OutOfMemory" in (failure.detail or "")
    assert bench.trial.state == "running"
    assert bench.held.close_attempt(0, message="in company").state == "queued"
    other = make_bench(shares_gpu=True)
    assert other.run(lambda job, on_report, resume: result(metrics_of(1.0), job)) == "completed"


def test_torchs_out_of_memory_is_known_by_name() -> None:
    torchs = type("OutOfMemoryError", (RuntimeError,), {})
    assert failure_of(torchs("CUDA out of memory. Tried")).reason == "oom"


def test_an_objective_that_is_not_finite_diverged_and_one_that_is_missing_crashed(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    assert (
        bench.run(lambda job, on_report, resume: result({"psnr": float("inf"), "feature_gain": 1.0}, job)) == "failed"
    )
    assert (bench.trial.failure_reason, bench.trial.failure_message) == (
        "diverged",
        "psnr is inf: the training diverged",
    )
    other = make_bench()
    other.run(lambda job, on_report, resume: result({"psnr": 1.0}, job))
    assert other.trial.failure_reason == "crashed"
    assert "gave no feature_gain" in other.trial.failure_message


def test_a_stale_attempt_stops_and_stores_nothing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()

    def train(job: TrialJob, on_report: Callable[[Report], None], resume: Path | None) -> TrainResult:
        bench.held.close_attempt(0, message="taken over")
        on_report(Report(5, 10, 0.5, {}, 1.0))
        raise AssertionError("a stale attempt went on")

    assert bench.run(train) == "stale"
    assert (bench.trial.state, bench.trial.step) == ("queued", 0)


def test_an_attempt_that_is_stale_at_its_end_stores_nothing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()

    def train(job: TrialJob, on_report: Callable[[Report], None], resume: Path | None) -> TrainResult:
        bench.held.close_attempt(0, message="taken over")
        return result(metrics_of(1.0), job)

    assert bench.run(train) == "stale"
    assert bench.trial.state == "queued"


def test_a_cancelled_sweep_stops_its_trials(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()

    def train(job: TrialJob, on_report: Callable[[Report], None], resume: Path | None) -> TrainResult:
        bench.repository.request_cancel(bench.id)
        on_report(Report(5, 10, 0.5, {}, 1.0))
        raise AssertionError("a cancelled trial went on")

    assert bench.run(train) == "cancelled"


def test_a_trial_over_its_time_fails_with_timeout(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(trial_hours=1e-12)

    def train(job: TrialJob, on_report: Callable[[Report], None], resume: Path | None) -> TrainResult:
        on_report(Report(5, 10, 0.5, {}, 1.0))
        raise AssertionError("a trial over its time went on")

    assert bench.run(train) == "failed"
    assert bench.trial.failure_reason == "timeout"
    assert "still at step 5 of 10" in bench.trial.failure_message


def test_a_broken_checkpoint_is_left_behind(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.job.checkpoint_folder.mkdir(parents=True)
    (bench.job.checkpoint_folder / "step-000000005.ckpt").write_text("half")
    resumed: list[Path | None] = []

    def train(job: TrialJob, on_report: Callable[[Report], None], resume: Path | None) -> TrainResult:
        resumed.append(resume)
        if resume is not None:
            raise CheckpointError("can't be read")
        return result(metrics_of(1.0), job)

    assert bench.run(train) == "completed"
    assert resumed == [bench.job.checkpoint_folder, None]
    assert bench.repository.attempts(bench.id, 0)[0].resumed_from_step == 0


def test_where_an_attempt_goes_on_is_noted(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    bench.job.checkpoint_folder.mkdir(parents=True)
    for step in (5, 600):
        (bench.job.checkpoint_folder / f"step-{step:09d}.ckpt").write_text("weights")
    assert bench.run(lambda job, on_report, resume: result(metrics_of(1.0), job)) == "completed"
    assert bench.repository.attempts(bench.id, 0)[0].resumed_from_step == 600


def test_progress_that_can_not_be_stored_stops_nothing(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()

    def fail(*_args: Any, **_more: Any) -> bool:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(AttemptStore, "report", fail)

    def train(job: TrialJob, on_report: Callable[[Report], None], resume: Path | None) -> TrainResult:
        on_report(Report(5, 10, 0.5, {}, 1.0))
        return result(metrics_of(1.0), job)

    assert bench.run(train) == "completed"
    assert bench.trial.state == "completed"


class Outage:
    """A store whose calls fail so often before they are answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **failures: int) -> None:
        self.left = failures
        monkeypatch.setattr(trial, "PATIENCE", Patience(0.05))
        for name in failures:
            monkeypatch.setattr(AttemptStore, name, self._failing(name, getattr(AttemptStore, name)))

    def _failing(self, name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            self.left[name] -= 1
            if self.left[name] >= 0:
                raise StoreUnavailable("the database is away")
            return answer(*args, **more)

        return call


def test_a_store_that_is_away_for_a_moment_costs_nothing(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()
    Outage(monkeypatch, identify=2, finish=2)
    assert bench.run(lambda job, on_report, resume: result(metrics_of(1.0), job)) == "completed"
    assert (bench.trial.state, bench.trial.metrics) == ("completed", metrics_of(1.0))


@pytest.mark.parametrize("call", ["identify", "finish"])
def test_a_store_that_stays_away_makes_no_failure_of_a_good_training(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    bench = make_bench()
    with monkeypatch.context() as outage:
        Outage(outage, **{call: 10**6})
        with pytest.raises(StoreUnavailable):
            bench.run(lambda job, on_report, resume: result(metrics_of(1.0), job))
    assert bench.trial.state == "running"  # until the driver is told that the worker has ended
    assert bench.held.close_attempt(0, message="StoreUnavailable").state == "queued"
