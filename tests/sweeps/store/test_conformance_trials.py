"""What any database must do for trials. Runs on SQLite, and on PostgreSQL with `-m slow`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sweeps.errors import StaleAttempt, WrongState
from sweeps.search.history import recall
from sweeps.store.attempts import KEPT_LOSSES, AttemptStore
from sweeps.store.processes import this_process
from sweeps.store.records import Completed, Failed
from sweeps.store.repository import Repository
from tests.sweeps.store.actions import DEAD_HERE, ELSEWHERE, GOOD, a_sweep, add, begin, drive, launch


class TestAttempts:
    def test_a_trial_runs_and_ends_once(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        attempt = launch(drive(repository, sweep.id))
        worker = AttemptStore(repository.database)
        worker.identify(attempt.token, ELSEWHERE, environment={"torch": "2"})
        assert not worker.report(attempt.token, step=5, loss=0.5, metrics={})
        assert repository.get_trial(sweep.id, 0).step == 5
        worker.finish(attempt.token, GOOD)
        trial = repository.get_trial(sweep.id, 0)
        assert (trial.state, trial.metrics, trial.attempts, trial.step) == ("completed", {"psnr": 20.5}, 1, 10)
        assert (trial.backend, trial.device, trial.threads, trial.seconds) == ("numba", "cpu", 1, 2.5)
        assert repository.attempts(sweep.id, 0)[0].environment == {"torch": "2"}
        with pytest.raises(StaleAttempt, match="completed"):
            worker.finish(attempt.token, GOOD)
        with pytest.raises(StaleAttempt):
            worker.report(attempt.token, step=6, loss=0.5, metrics={})

    def test_an_unknown_token_is_refused(self, repository: Repository) -> None:
        with pytest.raises(StaleAttempt, match="unknown"):
            AttemptStore(repository.database).report("0" * 32, step=1, loss=None, metrics={})

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
        with pytest.raises(StaleAttempt, match="interrupted"):
            worker.finish(stale.token, GOOD)
        before = repository.get_trial(sweep.id, 0)
        assert (before.state, before.configuration) == ("queued", {"max_res": 100, "seed": 7})
        fresh = second.start_attempt(0)
        assert (fresh.number, fresh.trial) == (2, 0)
        worker.finish(fresh.token, GOOD)
        assert [attempt.outcome for attempt in repository.attempts(sweep.id, 0)] == ["interrupted", "completed"]
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

    def test_what_gets_on_between_its_losses_is_not_given_up(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, max_attempts=2)
        worker = AttemptStore(repository.database)
        token = launch(held, total_steps=100).token
        for step in (10, 20, 30, 30):
            assert held.close_attempt(0, message="killed").state == "queued"
            token = held.start_attempt(0).token
            worker.identify(token, this_process(), environment={}, resumed_from_step=step)
        assert held.close_attempt(0, message="killed").failure_reason == "lost"

    def test_a_worker_that_dies_at_its_start_is_given_up_whatever_went_before(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, max_attempts=2)
        token = launch(held, total_steps=100).token
        AttemptStore(repository.database).identify(token, this_process(), environment={}, resumed_from_step=50)
        assert held.close_attempt(0, message="killed").state == "queued"
        held.start_attempt(0)
        assert held.close_attempt(0, message="killed before it could say where it was").state == "failed"

    def test_the_death_of_a_driver_is_not_the_trials_fault_but_not_for_ever(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, DEAD_HERE)
        launch(held)
        for _ in range(29):
            held = drive(repository, sweep.id, DEAD_HERE)
            assert held.trial(0).state == "queued"
            held.start_attempt(0)
        trial = drive(repository, sweep.id, DEAD_HERE).trial(0)
        assert (trial.state, trial.failure_reason) == ("failed", "lost")
        assert trial.failure_message == "it was started 30 times and got no further; the last time: its driver died"

    def test_a_failed_trial_has_cost_what_its_attempts_took(self, repository: Repository, clock: Any) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, DEAD_HERE)
        worker = AttemptStore(repository.database)
        add(held, total_steps=20, target_step=10)
        rung = begin(held).token
        clock.forward(9)
        worker.finish(rung, replace(GOOD, steps=10, seconds=8.0))
        held.promote(0, target_step=20, reason="rank 1 of 1")
        begin(held)
        clock.forward(5)
        held.close_attempt(0, message="killed")
        held.start_attempt(0)
        clock.forward(50)  # Ray has no room for it, and is gone
        held.close_attempt(0, message="killed")
        begin(held)
        clock.forward(3)
        held.renew()
        clock.forward(86400)  # its driver died then; a day later another takes over
        held = drive(repository, sweep.id)
        assert held.attempt_seconds() == 9 + 5 + 3
        token = begin(held).token
        clock.forward(2)
        worker.finish(token, Failed("diverged", "loss is nan"))
        trial = repository.get_trial(sweep.id, 0)
        assert (trial.state, trial.seconds) == ("failed", 8 + 5 + 3 + 2)
        assert recall(trial, held.rungs(0)).seconds == 18
        add(held, 1)
        assert held.fail_queued_trial(1, Failed("invalid", "max_res=1: too small")).seconds == 0

    def test_a_trial_that_hangs_fails_once_its_time_is_long_up(self, repository: Repository, clock: Any) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        worker = AttemptStore(repository.database)
        for number in (0, 1, 3):
            add(held, number, total_steps=20)
        hangs, reports = begin(held, 0), begin(held, 1)
        held.start_attempt(3)  # Ray has no room for it
        done = replace(GOOD, steps=10, seconds=1800.0)
        waits = launch(held, 2, total_steps=20, target_step=10)
        worker.finish(waits.token, done)
        held.promote(2, target_step=20, reason="rank 1 of 1")
        goes_on = begin(held, 2)

        def beat(minutes: float) -> list[int]:
            for _ in range(round(minutes * 3)):
                clock.forward(20)
                held.renew()
                worker.report(reports.token, step=5, loss=None, metrics={})
            return [attempt.trial for attempt in held.fail_overdue(1.0)]

        worker.report(hangs.token, step=5, loss=None, metrics={})
        assert beat(36) == []
        assert beat(1) == [2]  # half an hour up to its rung, 37 minutes since, six of them given
        assert beat(28) == []
        assert beat(2) == [0]
        trial = repository.get_trial(sweep.id, 0)
        assert (trial.state, trial.failure_reason) == ("failed", "timeout")
        assert trial.failure_message == "not heard of since step 5 of 20, and over 1 hours (budget.trial_hours)"
        for token in (hangs.token, goes_on.token):
            with pytest.raises(StaleAttempt):
                worker.finish(token, GOOD)
        assert repository.get_trial(sweep.id, 1).state == "running"  # its worker sees the time itself
        assert repository.get_trial(sweep.id, 3).state == "running"
        assert held.attempt_seconds() == (67 + 67 + 37) * 60

    def test_a_night_in_suspend_is_no_time_of_a_trial(self, repository: Repository, clock: Any) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, this_process())
        add(held)
        worker, token = AttemptStore(repository.database), begin(held).token
        clock.forward(30)
        held.renew()
        clock.forward(30)
        worker.report(token, step=1, loss=None, metrics={})
        clock.forward(8 * 3600)
        held.renew()
        assert held.fail_overdue(0.1) == []  # no worker has had time to report
        assert held.attempt_seconds() == 30
        for minutes in range(1, 9):
            clock.forward(60)
            held.renew()
            overdue = [attempt.trial for attempt in held.fail_overdue(0.1)]
            assert overdue == ([0] if minutes == 7 else [])  # 6 minutes, and one of grace, since it woke

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
        attempt = launch(drive(repository, sweep.id), total_steps=300)
        worker = AttemptStore(repository.database)
        for step in range(1, 301):
            worker.report(attempt.token, step=step, loss=1.0 / step, metrics={})
        worker.report(attempt.token, step=300, loss=float("nan"), metrics={"psnr": 1.0})
        reports = repository.reports(sweep.id, 0)
        assert len(reports) == KEPT_LOSSES + 1
        assert (reports[-1].metrics, reports[-1].loss) == ({"psnr": 1.0}, None)
        assert repository.reports(sweep.id, 0, after=reports[-2].id) == reports[-1:]


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
