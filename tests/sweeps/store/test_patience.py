"""A store that is away for a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.orm import Session

from sweeps.errors import LeaseLost, StoreUnavailable, WrongState
from sweeps.store.database import Database
from sweeps.store.patience import Patience
from sweeps.store.repository import Repository
from tests.sweeps.store.actions import a_sweep, add, drive

AWAY = StoreUnavailable("server closed the connection")


def answers(*given: Exception | str) -> Callable[[], str]:
    """A call that gives these answers, one after another."""
    left = list(given)

    def call() -> str:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


def test_a_call_is_repeated_until_the_store_answers() -> None:
    assert Patience(0.1)(answers(AWAY, AWAY, "here")) == "here"


def test_what_stays_away_is_given_up() -> None:
    asked = []

    def call() -> None:
        asked.append(1)
        raise AWAY

    with pytest.raises(StoreUnavailable, match="closed the connection"):
        Patience(0.05)(call)
    assert len(asked) > 1


def test_a_refusal_is_a_refusal_but_after_an_answer_that_was_lost_nobody_knows() -> None:
    refused = WrongState("trial 0 is running, not queued")
    with pytest.raises(WrongState):
        Patience(1.0)(answers(refused))
    with pytest.raises(StoreUnavailable, match="may have done what it was asked: trial 0 is running"):
        Patience(0.1)(answers(AWAY, refused))


def test_a_lost_lease_is_not_hidden() -> None:
    with pytest.raises(LeaseLost):
        Patience(0.1)(answers(AWAY, LeaseLost("taken over")))


class Moody:
    """Makes a database's writes fail, before they begin or once they are done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before, self.after = 0, 0
        write = Database.write

        @contextmanager
        def moody(database: Database) -> Iterator[Session]:
            if self.before > 0:
                self.before -= 1
                raise AWAY
            with write(database) as session:
                yield session
            if self.after > 0:
                self.after -= 1
                raise AWAY

        monkeypatch.setattr(Database, "write", moody)


def test_a_driver_outlives_a_store_that_is_away_for_a_moment(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = a_sweep(repository)
    held = drive(repository, sweep.id)
    held.patience = Patience(0.2)
    moody = Moody(monkeypatch)
    moody.before = 2
    add(held)
    moody.before = 2
    assert held.start_attempt(0).number == 1
    moody.before = 2
    assert held.close_attempt(0, message="killed").state == "queued"
    moody.before = 2
    with pytest.raises(StoreUnavailable):  # the heartbeat has its own way
        held.renew()


def test_an_attempt_whose_token_was_lost_on_the_way_is_not_started_twice(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = a_sweep(repository)
    held = drive(repository, sweep.id)
    held.patience = Patience(0.2)
    add(held)
    moody = Moody(monkeypatch)
    moody.after = 1
    with pytest.raises(StoreUnavailable, match="may have done"):
        held.start_attempt(0)
    held.interrupt("the database was away")
    assert [attempt.outcome for attempt in repository.attempts(sweep.id, 0)] == ["interrupted"]
    assert repository.get_trial(sweep.id, 0).state == "queued"
