"""What any database must do for sweeps. Runs on SQLite, and on PostgreSQL with `-m slow`."""

from __future__ import annotations

import threading
from typing import Any

import optuna
import pytest

from sweeps.errors import (
    IdempotencyConflict,
    InvalidCursor,
    InvalidSpec,
    LeaseLost,
    StaleAttempt,
    UnknownSweep,
    UnknownTrial,
    WrongState,
)
from sweeps.search.study import open_storage
from sweeps.spec.sweep import Resolved, SweepSpec, parse_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.records import Failed, SweepRecord
from sweeps.store.repository import Repository
from sweeps.store.studies import study_name
from tests.sweeps.store.actions import DEAD_HERE, GOOD, a_spec, a_sweep, drive, launch, starting_from


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

    def test_what_its_presets_say_is_kept_beside_the_spec(self, repository: Repository) -> None:
        resolved = Resolved({"num_levels": 8, "num_proposal_samples_per_ray": [256, 96]}, [{"max_res": 64}])
        created, _ = repository.create_sweep(a_spec(), resolved=resolved, idempotency_key="k")
        found = repository.get_sweep(created.id)
        assert found.resolved == created.resolved == resolved
        assert SweepSpec.model_validate(dict(found.spec)) == a_spec()
        changed = Resolved({"num_levels": 4}, [])  # a preset's file was edited: the key's sweep stays what it was
        again, is_new = repository.create_sweep(a_spec(), resolved=changed, idempotency_key="k")
        assert (again.id, again.resolved, is_new) == (created.id, resolved, False)
        assert a_sweep(repository, "older").resolved is None

    def test_earlier_sweeps_are_stored_by_their_ids(self, repository: Repository) -> None:
        kitchen, hall = a_sweep(repository, "kitchen"), a_sweep(repository, "hall")
        spec = starting_from("kitchen", hall.id[:4], name="kitchen")  # a name that two have from now on
        created, _ = repository.create_sweep(spec, idempotency_key="k")
        assert created.spec["search"]["warm_start"]["sweeps"] == [kitchen.id, hall.id]
        again, is_new = repository.create_sweep(spec, idempotency_key="k")
        assert (again.id, is_new) == (created.id, False)
        assert repository.get_sweep(created.id).spec == created.spec

    def test_an_earlier_sweep_that_is_not_one_is_refused(self, repository: Repository) -> None:
        first, second = a_sweep(repository, "kitchen"), a_sweep(repository, "kitchen")
        with pytest.raises(InvalidSpec, match=r"search\.warm_start\.sweeps\.0='hall': no such sweep"):
            repository.create_sweep(starting_from("hall"))
        with pytest.raises(
            InvalidSpec,
            match=r"sweeps\.1='kitchen': 2 sweeps fit, the newest first: s\w+ \(queued\), s\w+ \(queued\); give an id",
        ):
            repository.create_sweep(starting_from(first.id, "kitchen", second.id))
        assert len(repository.list_sweeps().items) == 2

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
        with pytest.raises(UnknownSweep, match="no such sweep; `f3rm-sweeps list` shows them"):
            repository.find_sweep("%")
        with pytest.raises(UnknownSweep, match=r"no such sweep; did you mean one\?"):
            repository.find_sweep("onee")

    def test_a_name_comes_before_the_beginning_of_an_id_and_an_id_before_a_name(self, repository: Repository) -> None:
        first = a_sweep(repository, "first")
        named = a_sweep(repository, first.id[:4])
        assert repository.find_sweep(first.id[:4]).id == named.id
        assert repository.find_sweep(first.id[:5]).id == first.id
        a_sweep(repository, first.id)
        assert repository.find_sweep(first.id).id == first.id

    def test_no_words_find_no_sweep(self, repository: Repository) -> None:
        a_sweep(repository)
        with pytest.raises(UnknownSweep, match=r"^sweep '': give its id, its name, or how its id begins$"):
            repository.find_sweep("")

    def test_of_many_that_fit_some_are_named_and_the_others_counted(self, repository: Repository) -> None:
        ids = [a_sweep(repository, "one").id for _ in range(7)]
        with pytest.raises(
            UnknownSweep,
            match=r"7 sweeps fit, the newest first: (s\w+ \(queued\), ){4}s\w+ \(queued\) and 2 more; give",
        ) as one:
            repository.find_sweep("one")
        assert sum(sweep_id in str(one.value) for sweep_id in ids) == 5


class TestCancelAndResume:
    def test_a_queued_sweep_is_cancelled_at_once(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        assert repository.request_cancel(sweep.id).state == "cancelled"
        assert repository.request_cancel(sweep.id).state == "cancelled"
        assert repository.sweeps_to_start() == []

    def test_its_open_rows_in_optunas_tables_end_with_it(self, repository: Repository, store_url: str) -> None:
        studies = []
        for name in ("cancelled", "other"):
            sweep = a_sweep(repository, name)
            studies.append(optuna.create_study(storage=open_storage(store_url), study_name=study_name(sweep)))
        for study in studies:
            study.tell(study.ask(), 1.0)
            study.ask()
        repository.request_cancel(repository.find_sweep("cancelled").id)
        states = [[row.state.name for row in study.get_trials()] for study in studies]
        assert states == [["COMPLETE", "FAIL"], ["COMPLETE", "RUNNING"]]

    def test_a_running_sweep_is_asked_to_stop(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        attempt = launch(held)
        assert repository.request_cancel(sweep.id).state == "running"
        assert AttemptStore(repository.database).report(attempt.token, step=1, loss=1, metrics={})
        assert held.renew()
        held.finish("cancelled", stop_reason="cancelled by request")
        assert repository.get_trial(sweep.id, 0).state == "cancelled"
        with pytest.raises(StaleAttempt, match="cancelled"):
            AttemptStore(repository.database).finish(attempt.token, GOOD)

    @pytest.mark.parametrize("end", ["death", "stop"])
    def test_a_cancellation_outlives_the_driver_that_has_not_seen_it(
        self, repository: Repository, clock: Any, end: str
    ) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id)
        launch(held)
        assert repository.request_cancel(sweep.id).state == "running"
        if end == "stop":
            held.interrupt("its driver was stopped")
        clock.forward(60)
        assert repository.sweeps_to_start() == []
        assert repository.get_sweep(sweep.id).state == "cancelled"
        assert repository.get_trial(sweep.id, 0).state == "cancelled"
        with pytest.raises(WrongState, match="is cancelled: only interrupted sweeps"):
            repository.request_resume(sweep.id, states=frozenset(("interrupted",)))
        with pytest.raises(LeaseLost):
            held.renew()
        assert repository.request_resume(sweep.id).state == "queued"
        assert not drive(repository, sweep.id).renew()

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

    @pytest.mark.parametrize("repeats", [{}, {"top": 1, "seeds": 3}])
    def test_a_sweep_that_would_fail_again_is_not_resumed(
        self, repository: Repository, repeats: dict[str, int]
    ) -> None:
        spec = parse_spec({**a_spec(trials=1).model_dump(), "search": {"repeats": repeats}})
        sweep, _ = repository.create_sweep(spec)
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

    def test_a_sweep_given_up_leaves_nothing_waiting_and_goes_on_once_resumed(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        held = drive(repository, sweep.id, DEAD_HERE)
        launch(held)
        repository.request_resume(sweep.id)
        given_up = repository.fail_sweep(sweep.id, "disk full")
        assert (given_up.state, given_up.stop_reason) == ("failed", "its driver did not start")
        assert repository.get_trial(sweep.id, 0).state == "cancelled"
        repository.request_resume(sweep.id)
        assert repository.get_trial(sweep.id, 0).state == "queued"

    def test_a_driven_sweep_is_not_given_up(self, repository: Repository) -> None:
        sweep = a_sweep(repository)
        drive(repository, sweep.id)
        with pytest.raises(WrongState, match="running"):
            repository.fail_sweep(sweep.id, "disk full")
