"""Which trial is launched when, and what Ray Tune gets to keep. No Ray cluster."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_trainers import metrics_of
from ray import cloudpickle
from ray.tune.search import Searcher

from sweeps.errors import LeaseLost
from sweeps.search.conductor import Conductor
from sweeps.search.earlier import Earlier
from sweeps.search.history import Goal
from sweeps.search.searcher import ActorErrors, EndOverdue, StopWhen, SweepSearcher
from sweeps.search.stopping import Spent, StopRules
from sweeps.search.strategies import strategy_of
from sweeps.search.study import Study, open_storage
from sweeps.settings import Settings
from sweeps.spec.sweep import SweepSpec, check_spec, trial_seed
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import this_process
from sweeps.store.records import Completed, TrialRecord
from sweeps.store.repository import Repository


class Desk:
    """A searcher over a store, and workers played by hand."""

    def __init__(self, repository: Repository, settings: Settings, spec: SweepSpec) -> None:
        plan = check_spec(spec)
        sweep, _ = repository.create_sweep(plan.spec)
        self.repository, self.id, self.open = repository, sweep.id, True
        self.held = DrivenSweep.acquire(repository.database, sweep.id, this_process(), lease_seconds=60, max_attempts=2)
        self.ended: list[TrialRecord] = []
        self.cancellations = 0
        conductor = Conductor(
            self.held,
            Study(open_storage(settings.store_url), sweep, plan, settings.artifacts_dir),
            plan,
            strategy_of(plan, Goal.of(plan), "tpe", device="cpu"),
            sampler="tpe",
            earlier=Earlier(),
            device="cpu",
            sweep_folder=settings.sweep_dir(sweep.id),
            rules=StopRules(),
            spent=Spent,
            is_stopping=lambda: not self.open,
            on_end=self.ended.append,
        )
        self.searcher = SweepSearcher(conductor, concurrent=2, trainer="none:None", on_cancelled=self._cancel)

    def _cancel(self) -> None:
        self.cancellations += 1

    def finish(self, trial_id: str, config: Any) -> None:
        """The worker's end, and Ray Tune's word about it."""
        end = Completed(metrics_of(1.0), "numba", "cpu", 1, 10, 1.0)
        AttemptStore(self.repository.database).finish(config["job"].token, end)
        self.searcher.on_trial_complete(trial_id, {"outcome": "completed"})


@pytest.fixture
def make_desk(repository: Repository, settings: Settings, spec_of: Callable[..., SweepSpec]) -> Callable[..., Desk]:
    return lambda **parts: Desk(repository, settings, spec_of(**parts))


def test_trials_are_written_before_they_are_handed_out_and_never_more_than_fit(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(budget={"trials": 3})
    first, second = desk.searcher.suggest("a"), desk.searcher.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert desk.searcher.suggest("c") is None
    trials = desk.repository.all_trials(desk.id)
    assert [trial.state for trial in trials] == ["running", "running"]
    assert first["job"].configuration == trials[0].configuration
    desk.finish("a", first)
    third = desk.searcher.suggest("c")
    assert isinstance(third, dict)
    assert third["job"].number == 2
    assert desk.searcher.suggest("d") is None  # what runs may be lost and come back
    desk.finish("b", second)
    desk.finish("c", third)
    assert desk.searcher.suggest("d") == Searcher.FINISHED
    assert [trial.number for trial in desk.ended] == [0, 1, 2]


def test_trials_that_wait_take_no_slot(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(budget={"trials": 9}, fidelity={"rungs": [10, 90]})
    desk.searcher.suggest("a")
    for trial_id in ("b", "c", "d"):  # each ends at the lower rung, and waits
        desk.finish(trial_id, desk.searcher.suggest(trial_id))
    states = [trial.state for trial in desk.repository.all_trials(desk.id)]
    assert states == ["running", "paused", "paused", "paused"]
    assert isinstance(desk.searcher.suggest("e"), dict)
    assert desk.searcher.suggest("f") is None


def test_a_lost_trial_is_handed_out_again_and_fails_in_the_end(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(budget={"trials": 1})
    first = desk.searcher.suggest("a")
    desk.searcher.on_trial_complete("a", error=True)
    desk.searcher.on_actor_error("a", RuntimeError("the actor died"))
    second = desk.searcher.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert second["job"].number == 0
    assert second["job"].token != first["job"].token
    assert second["job"].configuration == first["job"].configuration
    desk.searcher.on_trial_complete("b", error=True)
    desk.searcher.on_actor_error("b", None)
    assert desk.searcher.suggest("c") == Searcher.FINISHED
    assert [(trial.state, trial.failure_reason) for trial in desk.ended] == [("failed", "lost")]


def test_rays_out_of_memory_is_not_tried_again(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(budget={"trials": 1})
    desk.searcher.suggest("a")
    error = type("OutOfMemoryError", (Exception,), {})("node was running low")
    desk.searcher.on_actor_error("a", error)
    assert [(trial.state, trial.failure_reason) for trial in desk.ended] == [("failed", "oom")]


def test_a_workers_word_of_a_full_gpu_reaches_the_conductor(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(budget={"trials": 1})
    desk.searcher.suggest("a")
    said = {"outcome": "out of memory", "message": "CUDA out of memory", "detail": "Traceback ..."}
    desk.searcher.on_trial_complete("a", said)
    (failed,) = desk.ended  # nothing shares a GPU here, so it stands
    assert (failed.failure_reason, failed.failure_message, failed.failure_detail) == (
        "oom",
        "CUDA out of memory",
        "Traceback ...",
    )


def test_values_that_do_not_go_together_fail_without_a_launch(make_desk: Callable[..., Desk]) -> None:
    space = {
        "max_res": {"type": "categorical", "choices": [64]},
        "base_res": {"type": "categorical", "choices": [128]},
    }
    desk = make_desk(space=space, budget={"trials": 3})
    assert desk.searcher.suggest("a") == Searcher.FINISHED
    assert [(trial.failure_reason, trial.attempts) for trial in desk.ended] == [("invalid", 0)] * 3
    assert "max_res=64: must be at least base_res (128)" in (desk.ended[0].failure_message or "")


def test_nothing_starts_once_the_budget_is_spent(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    first = desk.searcher.suggest("a")
    desk.open = False
    assert desk.searcher.suggest("b") is None
    desk.finish("a", first)
    assert desk.searcher.suggest("b") == Searcher.FINISHED
    assert len(desk.repository.all_trials(desk.id)) == 1


def test_an_ablation_hands_out_its_arms_with_their_own_steps_and_ends(make_desk: Callable[..., Desk]) -> None:
    arms = {"short": {"max_num_iterations": 5}, "heavy": {"feat_loss_weight": 1.0}}
    desk = make_desk(kind="ablation", space={}, budget={}, arms=arms, seeds=2)
    jobs, totals = [], []
    while isinstance(config := desk.searcher.suggest(str(len(jobs))), dict):
        totals.append(desk.held.trial(len(jobs)).total_steps)
        desk.finish(str(len(jobs)), config)
        jobs.append(config["job"])
    assert [job.configuration["feat_loss_weight"] for job in jobs] == [1e-3, 1e-3, 1.0] * 2
    assert [job.configuration["seed"] for job in jobs] == [trial_seed(0, index) for index in (0, 0, 0, 1, 1, 1)]
    assert totals == [job.steps for job in jobs] == [10, 5, 10] * 2
    assert desk.repository.get_sweep(desk.id).trials_planned == 6


def test_a_worker_that_knows_of_a_cancellation_first_is_believed(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk()
    desk.searcher.suggest("a")
    desk.searcher.on_trial_complete("a", {"outcome": "cancelled"})
    assert desk.cancellations == 1
    assert [attempt.outcome for attempt in desk.repository.attempts(desk.id, 0)] == ["running"]


def test_ray_tune_gets_no_copy_and_no_password(make_desk: Callable[..., Desk], tmp_path: Path) -> None:
    searcher = make_desk().searcher
    for ours in (searcher, ActorErrors(searcher), EndOverdue(searcher, {1}), StopWhen(lambda: False)):
        assert copy.deepcopy(ours) is ours
        assert b"sqlite" not in cloudpickle.dumps(ours)
    folder = tmp_path / "tune"
    folder.mkdir()
    searcher.save_to_dir(str(folder), "session")
    assert list(folder.iterdir()) == []


def test_ray_ends_each_overdue_worker_that_ray_tune_still_holds_once(
    make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(budget={"trials": 3})
    first, second = desk.searcher.suggest("a"), desk.searcher.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    trials = [SimpleNamespace(trial_id=i, temporary_state=SimpleNamespace(ray_actor=f"actor of {i}")) for i in "ab"]
    ended: list[str] = []
    monkeypatch.setattr("ray.kill", ended.append)
    overdue: set[int] = set()
    end = EndOverdue(desk.searcher, overdue)
    end.on_step_begin(1, trials)
    assert ended == []
    overdue.update((0, 1))
    desk.finish("b", second)  # it was only slow
    for step in (2, 3):
        end.on_step_begin(step, trials)
    assert ended == ["actor of a"]


def test_what_goes_wrong_on_our_side_stops_the_sweep_and_is_kept(
    make_desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(budget={"trials": 3})
    first, second = desk.searcher.suggest("a"), desk.searcher.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    lost = LeaseLost("taken over by another driver")

    def close_attempt(*_args: Any, **_more: Any) -> TrialRecord:
        raise lost

    monkeypatch.setattr(DrivenSweep, "close_attempt", close_attempt)
    desk.finish("a", first)
    assert desk.searcher.error is lost
    assert desk.searcher.stopping
    assert desk.searcher.suggest("c") is None
    desk.finish("b", second)
    assert desk.ended == []
