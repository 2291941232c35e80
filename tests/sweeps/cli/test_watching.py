"""Watching a sweep in the queue: what it waits for is told, and whether anybody will start it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweeps.cli.client import Client, NoService
from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.repository import Repository
from tests.played import SPEC, play
from tests.sweeps.cli.conftest import Command


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "find", lambda *_: Client("http://127.0.0.1:1"))


@pytest.fixture
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*_: object) -> None:
        raise NoService("no service is running")

    monkeypatch.setattr(Client, "find", find)


@pytest.fixture
def watched(command: Command, store: Repository, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Watch a sweep, cancel it after one look, and return what was said of it."""

    def watch(sweep_id: str) -> str:
        monkeypatch.setattr("sweeps.cli.watching.time.sleep", lambda _: store.request_cancel(sweep_id))
        return command("watch", sweep_id).out.splitlines()[0]

    return watch


@pytest.fixture
def queued(store: Repository) -> str:
    return store.create_sweep(parse_spec({**SPEC, "name": "queued"}))[0].id


@pytest.mark.usefixtures("no_service")
def test_without_a_service_nobody_starts_it(watched: Callable[[str], str], queued: str) -> None:
    said = watched(queued)
    assert said.endswith(
        f"queued  0/4 trials  no service answers: f3rm-sweeps serve starts it, or f3rm-sweeps resume {queued}"
    )


@pytest.mark.usefixtures("service")
def test_the_next_one_waits_for_nothing(watched: Callable[[str], str], queued: str) -> None:
    assert watched(queued).endswith("queued  0/4 trials")


@pytest.mark.usefixtures("service")
def test_behind_others(watched: Callable[[str], str], store: Repository, settings: Settings) -> None:
    running = play(store, settings, finish=False)
    before = store.create_sweep(parse_spec({**SPEC, "name": "before"}))[0]
    queued = store.create_sweep(parse_spec({**SPEC, "name": "queued"}))[0]
    store.create_sweep(parse_spec({**SPEC, "name": "after"}))
    assert watched(queued.id).endswith(f"waits for {running.id} (played) and 1 queued before it")
    assert watched(before.id).endswith(f"waits for {running.id} (played)")
