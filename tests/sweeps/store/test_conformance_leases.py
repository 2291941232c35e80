"""What any database must do for leases. Runs on SQLite, and on PostgreSQL with `-m slow`."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from sweeps.errors import LeaseHeld, LeaseLost, WrongState
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import this_process
from sweeps.store.records import Completed, Failed
from sweeps.store.repository import Repository
from tests.sweeps.store.actions import DEAD_HERE, ELSEWHERE, GOOD, a_sweep, add, drive, launch


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

    def test_a_driver_seen_alive_on_this_machine_holds_its_lease_however_old(
        self, repository: Repository, clock: Any
    ) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, this_process())
        clock.forward(8 * 3600)  # a night in suspend
        assert repository.get_sweep(sweep.id).state == "running"
        with pytest.raises(LeaseHeld):
            drive(repository, sweep.id)
        held.renew()
        assert repository.get_sweep(sweep.id).driver_seconds == 30.0

    def test_when_it_was_last_taken_is_known_after_its_end(self, repository: Repository, clock: Any) -> None:
        sweep = a_sweep(repository)
        assert repository.last_taken(sweep.id) is None
        first = clock.now
        drive(repository, sweep.id).interrupt("stopped")
        clock.forward(1)
        assert (repository.lease(sweep.id), repository.last_taken(sweep.id)) == (None, first)
        drive(repository, sweep.id)
        assert repository.last_taken(sweep.id) == clock.now

    @pytest.mark.parametrize("end", ["cancelled", "failed"])
    def test_a_slow_driver_can_not_go_on_with_a_sweep_that_was_ended_without_it(
        self, repository: Repository, clock: Any, end: str
    ) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        clock.forward(31)
        if end == "cancelled":
            repository.request_cancel(sweep.id)
        else:
            repository.request_resume(sweep.id)
            repository.fail_sweep(sweep.id, "disk full")
        with pytest.raises(LeaseLost):
            held.renew()
        assert repository.get_sweep(sweep.id).state == end

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


class TestCutOff:
    """Which sweeps the service takes up by itself: those whose driver died at work."""

    @pytest.fixture
    def held(self, repository: Repository, clock: Any) -> DrivenSweep:
        """A sweep's lease whose process is dead, and a trial that it has launched."""
        held = drive(repository, a_sweep(repository).id, DEAD_HERE)
        add(held)
        clock.forward(1)
        return held

    @pytest.mark.parametrize(
        ("result", "state"),
        [(GOOD, "completed"), (replace(GOOD, steps=5), "paused"), (Failed("diverged", "NaN"), "failed")],
    )
    def test_a_driver_that_died_after_progress(
        self, repository: Repository, held: DrivenSweep, clock: Any, result: Completed | Failed, state: str
    ) -> None:
        assert repository.sweeps_cut_off() == []
        token = held.start_attempt(0).token
        assert repository.sweeps_cut_off() == []
        AttemptStore(repository.database).finish(token, result)
        assert repository.get_trial(held.sweep_id, 0).state == state
        assert repository.sweeps_cut_off() == [held.sweep_id]
        repository.request_resume(held.sweep_id)
        assert repository.sweeps_cut_off() == []
        clock.forward(1)
        launch(drive(repository, held.sweep_id, DEAD_HERE), 1)
        assert repository.sweeps_cut_off() == []  # what was done before it took the sweep is not its progress

    def test_a_trial_that_was_given_up_as_the_sweep_was_taken_is_no_progress(
        self, repository: Repository, held: DrivenSweep, clock: Any
    ) -> None:
        held.start_attempt(0)
        for _ in range(10):  # a driver's end counts a tenth of a lost worker
            assert repository.sweeps_cut_off() == []
            repository.request_resume(held.sweep_id)
            clock.forward(1)
            next_one = drive(repository, held.sweep_id, DEAD_HERE, max_attempts=1)
            if repository.get_trial(held.sweep_id, 0).state == "queued":
                next_one.start_attempt(0)
        assert repository.get_trial(held.sweep_id, 0).state == "failed"
        assert repository.sweeps_cut_off() == []

    @pytest.mark.parametrize("end", ["stopped", "cancelled", "alive"])
    def test_no_other(self, repository: Repository, held: DrivenSweep, end: str) -> None:
        AttemptStore(repository.database).finish(held.start_attempt(0).token, GOOD)
        if end == "stopped":
            held.interrupt("its driver was stopped")
        elif end == "cancelled":
            held.renew()
            repository.request_cancel(held.sweep_id)
        else:
            repository.request_resume(held.sweep_id)
            drive(repository, held.sweep_id, this_process())
        assert repository.sweeps_cut_off() == []

    def test_another_machines_driver_may_only_be_slow(self, repository: Repository, clock: Any) -> None:
        held = drive(repository, a_sweep(repository).id, ELSEWHERE)
        clock.forward(1)
        AttemptStore(repository.database).finish(launch(held).token, GOOD)
        clock.forward(60)
        assert repository.get_sweep(held.sweep_id).state == "interrupted"
        assert repository.sweeps_cut_off() == []
