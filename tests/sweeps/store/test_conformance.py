"""What any database must do for us. Runs on SQLite, and on PostgreSQL with `-m slow`."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from sweeps.errors import (
    IdempotencyConflict,
    InvalidCursor,
    LeaseHeld,
    LeaseLost,
    StaleAttempt,
    UnknownSweep,
    UnknownTrial,
    WrongState,
)
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.store.attempts import KEPT_LOSSES, AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import this_process
from sweeps.store.records import AttemptRecord, Completed, Failed, Process, SweepRecord
from sweeps.store.repository import Repository

ELSEWHERE = Process("another-machine", 1, 0.0)
DEAD_HERE = Process(this_process().machine, os.getpid(), this_process().started - 100.0)
"""A process of this machine that had our number and is gone."""


def a_spec(name: str = "a-sweep", trials: int = 3) -> SweepSpec:
    document: dict[str, Any] = {
        "name": name,
        "space": {"max_res": {"type": "int", "low": 64, "high": 128}},
        "budget": {"trials": trials},
    }
    return parse_spec(document)


def a_sweep(repository: Repository, name: str = "a-sweep", trials: int = 3) -> SweepRecord:
    return repository.create_sweep(a_spec(name, trials))[0]


def drive(repository: Repository, sweep_id: str, process: Process = ELSEWHERE, max_attempts: int = 3) -> DrivenSweep:
    return DrivenSweep.acquire(repository.database, sweep_id, process, lease_seconds=30.0, max_attempts=max_attempts)


def add(held: DrivenSweep, number: int = 0) -> None:
    held.add_trial(
        number,
        parameters={"max_res": 100},
        configuration={"max_res": 100, "seed": 7},
        optuna_trial=number,
        total_steps=10,
    )


def launch(held: DrivenSweep, number: int = 0) -> AttemptRecord:
    add(held, number)
    return held.start_attempt(number)


GOOD = Completed(metrics={"psnr": 20.5}, backend="numba", device="cpu", threads=1, steps=10, seconds=2.5)


class TestSweeps:
    def test_a_new_sweep_is_queued_with_its_spec(self, repository: Repository) -> None:
        created, is_new = repository.create_sweep(a_spec())
        assert is_new
        found = repository.get_sweep(created.id)
        assert (found.state, found.name, found.trials_planned, found.counts) == ("queued", "a-sweep", 3, {})
        assert SweepSpec.model_validate(dict(found.spec)) == a_spec()

    def test_the_same_key_and_spec_give_the_same_sweep(self, repository: Repository) -> None:
        first, _ = repository.create_sweep(a_spec(), idempotency_key="k")
        second, is_new = repository.create_sweep(a_spec(), idempotency_key="k")
        assert second.id == first.id
        assert not is_new
        assert len(repository.list_sweeps().items) == 1

    def test_the_same_key_with_another_spec_is_refused(self, repository: Repository) -> None:
        repository.create_sweep(a_spec(), idempotency_key="k")
        with pytest.raises(IdempotencyConflict, match="'k'"):
            repository.create_sweep(a_spec(trials=4), idempotency_key="k")

    def test_one_key_from_many_threads_makes_one_sweep(self, repository: Repository) -> None:
        made: list[tuple[SweepRecord, bool]] = []
        barrier = threading.Barrier(6)

        def create() -> None:
            barrier.wait()
            made.append(repository.create_sweep(a_spec(), idempotency_key="k"))

        threads = [threading.Thread(target=create) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 6
        assert len({sweep.id for sweep, _ in made}) == 1
        assert sum(is_new for _, is_new in made) == 1

    def test_unknown_sweeps_and_trials_are_named(self, repository: Repository) -> None:
        with pytest.raises(UnknownSweep, match="nope"):
            repository.get_sweep("nope")
        sweep = a_sweep(repository)
        with pytest.raises(UnknownTrial, match="5"):
            repository.get_trial(sweep.id, 5)
        with pytest.raises(UnknownSweep, match="nope"):
            repository.list_trials("nope")

    def test_pages_hold_every_sweep_once_newest_first(self, repository: Repository, clock: Any) -> None:
        made = []
        for index in range(7):
            made.append(a_sweep(repository, f"s{index}").id)
            clock.forward(index % 2)  # two of them at the same instant
        seen, cursor = [], None
        for _ in range(4):
            page = repository.list_sweeps(limit=2, cursor=cursor)
            seen += [sweep.id for sweep in page.items]
            cursor = page.next_cursor
        assert cursor is None
        assert sorted(seen) == sorted(made)
        assert seen[0] == made[-1]

    @pytest.mark.parametrize("cursor", ["x", "bm9wZQ", "WyIxIl0", "WzFd"])
    def test_a_cursor_that_is_none_is_refused(self, repository: Repository, cursor: str) -> None:
        with pytest.raises(InvalidCursor):
            repository.list_sweeps(cursor=cursor)

    def test_a_sweep_is_found_by_name_and_by_the_beginning_of_its_id(self, repository: Repository) -> None:
        sweep = a_sweep(repository, "one")
        a_sweep(repository, "two")
        a_sweep(repository, "two")
        assert repository.find_sweep("one").id == sweep.id
        assert repository.find_sweep(sweep.id[:5]).id == sweep.id
        with pytest.raises(UnknownSweep, match="2 sweeps fit"):
            repository.find_sweep("two")
        with pytest.raises(UnknownSweep, match="no such sweep"):
            repository.find_sweep("%")


class TestLease:
    def test_a_live_driver_keeps_others_out(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        drive(repository, sweep.id)
        with pytest.raises(LeaseHeld, match="another-machine"):
            drive(repository, sweep.id)
        assert repository.get_sweep(sweep.id).state == "running"

    def test_a_lease_that_is_not_renewed_runs_out(self, repository: Repository, clock: Any) -> None:
        sweep = a_sweep(repository)
        first = drive(repository, sweep.id)
        clock.forward(29)
        first.renew()
        clock.forward(29)
        with pytest.raises(LeaseHeld):
            drive(repository, sweep.id)
        clock.forward(2)
        assert repository.get_sweep(sweep.id).state == "interrupted"
        second = drive(repository, sweep.id)
        assert repository.get_sweep(sweep.id).state == "running"
        with pytest.raises(LeaseLost):
            first.renew()
        with pytest.raises(LeaseLost):
            add(first)
        with pytest.raises(LeaseLost):
            first.finish("completed", stop_reason="done")
        add(second)

    def test_a_driver_known_to_be_dead_need_not_be_waited_for(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        drive(repository, sweep.id, DEAD_HERE)
        assert repository.get_sweep(sweep.id).state == "interrupted"
        assert repository.sweeps_to_start() == [sweep.id]
        drive(repository, sweep.id)

    def test_a_driver_that_was_only_slow_goes_on(self, repository: Repository, clock: Any) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        clock.forward(31)
        assert repository.get_sweep(sweep.id).state == "interrupted"
        held.renew()
        assert repository.get_sweep(sweep.id).state == "running"
        # 31 s passed, but a machine that sleeps does not drive: one lease's time counts.
        assert repository.get_sweep(sweep.id).driver_seconds == 30.0

    def test_two_that_take_a_lease_at_once_are_one(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        outcomes: list[str] = []
        barrier = threading.Barrier(5)

        def take() -> None:
            barrier.wait()
            try:
                drive(repository, sweep.id)
                outcomes.append("held")
            except LeaseHeld:
                outcomes.append("refused")

        threads = [threading.Thread(target=take) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["held"] + ["refused"] * 4

    def test_a_finished_sweep_is_not_driven(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        drive(repository, sweep.id).finish("completed", stop_reason="all 3 trials ended")
        found = repository.get_sweep(sweep.id)
        assert (found.state, found.stop_reason) == ("completed", "all 3 trials ended")
        assert repository.lease(sweep.id) is None
        with pytest.raises(WrongState, match="completed"):
            drive(repository, sweep.id)


class TestAttempts:
    def test_a_trial_runs_and_ends_once(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        attempt = launch(drive(repository, sweep.id))
        worker = AttemptStore(repository.database)
        worker.identify(attempt.token, ELSEWHERE, environment={"torch": "2"})
        assert not worker.report(attempt.token, step=5, total_steps=10, loss=0.5, metrics={})
        assert repository.get_trial(sweep.id, 0).step == 5
        worker.finish(attempt.token, GOOD)
        trial = repository.get_trial(sweep.id, 0)
        assert (trial.state, trial.metrics, trial.attempts, trial.step) == ("completed", {"psnr": 20.5}, 1, 10)
        assert (trial.backend, trial.device, trial.threads, trial.seconds) == ("numba", "cpu", 1, 2.5)
        assert repository.results(sweep.id) == {0: {"psnr": 20.5}}
        assert repository.attempts(sweep.id, 0)[0].environment == {"torch": "2"}
        with pytest.raises(StaleAttempt, match="completed"):
            worker.finish(attempt.token, GOOD)
        with pytest.raises(StaleAttempt):
            worker.report(attempt.token, step=6, total_steps=10, loss=0.5, metrics={})

    def test_an_unknown_token_is_refused(self, repository: Repository) -> None:
        with pytest.raises(StaleAttempt, match="unknown"):
            AttemptStore(repository.database).report("0" * 32, step=1, total_steps=2, loss=None, metrics={})

    def test_a_failure_keeps_its_reason(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        attempt = launch(drive(repository, sweep.id))
        AttemptStore(repository.database).finish(attempt.token, Failed("oom", "out of memory", "Traceback"))
        trial = repository.get_trial(sweep.id, 0)
        assert (trial.state, trial.failure_reason, trial.failure_message) == ("failed", "oom", "out of memory")
        assert trial.failure_detail == "Traceback"
        assert trial.metrics == {}

    def test_a_metric_that_is_not_finite_is_refused(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        attempt = launch(drive(repository, sweep.id))
        broken = Completed({"psnr": float("nan")}, "numba", "cpu", 1, 10, 1.0)
        with pytest.raises(ValueError, match="psnr"):
            AttemptStore(repository.database).finish(attempt.token, broken)
        assert repository.get_trial(sweep.id, 0).state == "running"

    def test_a_takeover_closes_attempts_and_queues_their_trials_again(self, repository: Repository, clock: Any) -> None:
        sweep = a_sweep(repository)
        stale = launch(drive(repository, sweep.id))
        clock.forward(31)
        second = drive(repository, sweep.id)
        assert [orphan.token for orphan in second.orphans] == [stale.token]
        worker = AttemptStore(repository.database)
        with pytest.raises(StaleAttempt, match="lost"):
            worker.finish(stale.token, GOOD)
        before = repository.get_trial(sweep.id, 0)
        assert (before.state, before.configuration) == ("queued", {"max_res": 100, "seed": 7})
        fresh = second.start_attempt(0)
        assert (fresh.number, fresh.trial) == (2, 0)
        worker.finish(fresh.token, GOOD)
        assert [attempt.outcome for attempt in repository.attempts(sweep.id, 0)] == ["lost", "completed"]
        assert len(repository.all_trials(sweep.id)) == 1

    def test_a_trial_that_is_lost_too_often_fails(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, max_attempts=2)
        launch(held)
        assert held.close_attempt(0, message="killed").state == "queued"
        held.start_attempt(0)
        trial = held.close_attempt(0, message="killed again")
        assert (trial.state, trial.failure_reason) == ("failed", "lost")
        assert trial.failure_message == "its worker was lost 2 times; the last time: killed again"
        with pytest.raises(WrongState, match="failed"):
            held.start_attempt(0)

    def test_being_stopped_in_good_order_is_no_loss(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, max_attempts=1)
        launch(held)
        held.interrupt("stopped")
        assert repository.get_sweep(sweep.id).state == "interrupted"
        assert repository.get_trial(sweep.id, 0).state == "queued"
        assert repository.attempts(sweep.id, 0)[0].outcome == "interrupted"

    def test_closing_what_the_worker_has_closed_changes_nothing(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        attempt = launch(held)
        AttemptStore(repository.database).finish(attempt.token, GOOD)
        assert held.close_attempt(0, message="its process is gone").state == "completed"

    def test_a_number_is_given_once(self, repository: Repository) -> None:
        from sqlalchemy.exc import IntegrityError

        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        add(held)
        with pytest.raises(IntegrityError):
            add(held)
        assert len(repository.all_trials(sweep.id)) == 1

    def test_progress_is_kept_about_a_hundred_times(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        attempt = launch(drive(repository, sweep.id))
        worker = AttemptStore(repository.database)
        for step in range(1, 301):
            worker.report(attempt.token, step=step, total_steps=300, loss=1.0 / step, metrics={})
        worker.report(attempt.token, step=300, total_steps=300, loss=float("nan"), metrics={"psnr": 1.0})
        reports = repository.reports(sweep.id, 0)
        assert len(reports) == KEPT_LOSSES + 1
        assert (reports[-1].metrics, reports[-1].loss) == ({"psnr": 1.0}, None)
        assert repository.reports(sweep.id, 0, after=reports[-2].id) == reports[-1:]


class TestCancelAndResume:
    def test_a_queued_sweep_is_cancelled_at_once(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        assert repository.request_cancel(sweep.id).state == "cancelled"
        assert repository.request_cancel(sweep.id).state == "cancelled"
        assert repository.sweeps_to_start() == []

    def test_a_running_sweep_is_asked_to_stop(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        attempt = launch(held)
        assert repository.request_cancel(sweep.id).state == "running"
        assert AttemptStore(repository.database).report(attempt.token, step=1, total_steps=10, loss=1, metrics={})
        assert held.renew()
        held.finish("cancelled", stop_reason="cancelled by request")
        assert repository.get_trial(sweep.id, 0).state == "cancelled"
        with pytest.raises(StaleAttempt, match="cancelled"):
            AttemptStore(repository.database).finish(attempt.token, GOOD)

    def test_a_cancelled_sweep_goes_on_where_it_was(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        AttemptStore(repository.database).finish(launch(held, 0).token, GOOD)
        launch(held, 1)
        held.finish("cancelled", stop_reason="cancelled by request")
        resumed = repository.request_resume(sweep.id)
        assert (resumed.state, resumed.cancel_requested, resumed.finished_at) == ("queued", False, None)
        states = [trial.state for trial in repository.all_trials(sweep.id)]
        assert states == ["completed", "queued"]

    def test_a_failed_sweep_tries_again_what_may_end_otherwise(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        worker = AttemptStore(repository.database)
        for number, reason in enumerate(("crashed", "diverged", "invalid")):
            worker.finish(launch(held, number).token, Failed(reason, "no"))
        held.finish("failed", stop_reason="all ended", error="no trial completed")
        assert repository.get_sweep(sweep.id).error == "no trial completed"
        repository.request_resume(sweep.id)
        states = [trial.state for trial in repository.all_trials(sweep.id)]
        assert states == ["queued", "failed", "failed"]

    def test_a_sweep_that_would_fail_again_is_not_resumed(self, repository: Repository) -> None:
        sweep = a_sweep(repository, trials=1)
        held = drive(repository, sweep.id)
        AttemptStore(repository.database).finish(launch(held).token, Failed("diverged", "NaN"))
        held.finish("failed", stop_reason="all ended")
        with pytest.raises(WrongState, match="diverged"):
            repository.request_resume(sweep.id)
        assert repository.get_sweep(sweep.id).state == "failed"

    @pytest.mark.parametrize("state", ["completed", "running"])
    def test_other_states_are_not_resumed(self, repository: Repository, state: str) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        if state == "completed":
            held.finish("completed", stop_reason="done")
        with pytest.raises(WrongState, match=state):
            repository.request_resume(sweep.id)

    def test_a_completed_sweep_can_not_be_cancelled(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        drive(repository, sweep.id).finish("completed", stop_reason="done")
        with pytest.raises(WrongState, match="completed"):
            repository.request_cancel(sweep.id)

    def test_a_sweep_whose_driver_did_not_start_fails(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        assert repository.fail_sweep(sweep.id, "disk full").error == "disk full"
        with pytest.raises(WrongState, match="failed"):
            repository.fail_sweep(sweep.id, "again")

    def test_a_driven_sweep_is_not_given_up(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        drive(repository, sweep.id)
        with pytest.raises(WrongState, match="running"):
            repository.fail_sweep(sweep.id, "disk full")


def test_trials_come_in_pages_by_number_and_state(repository: Repository) -> None:
    sweep = a_sweep(repository, trials=5)
    held = drive(repository, sweep.id)
    for number in range(5):
        add(held, number)
    held.start_attempt(3)
    first = repository.list_trials(sweep.id, limit=3)
    second = repository.list_trials(sweep.id, limit=3, cursor=first.next_cursor)
    assert [trial.number for trial in first.items] == [0, 1, 2]
    assert [trial.number for trial in second.items] == [3, 4]
    assert second.next_cursor is None
    assert [trial.number for trial in repository.list_trials(sweep.id, state="running").items] == [3]
    assert repository.get_sweep(sweep.id).counts == {"queued": 4, "running": 1}
