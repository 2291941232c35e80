"""delete: asked first, refused while something goes on."""

from __future__ import annotations

import io
import json
import sys

import pytest

from sweeps.errors import UnknownSweep
from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.repository import Repository
from tests.played import SPEC, play
from tests.sweeps.cli.conftest import Command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_deleted_is_gone(command: Command, store: Repository, settings: Settings) -> None:
    sweep = play(store, settings)
    ran = command("delete", "played", "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert f"sweep {sweep.id} (played) is deleted, 0 MB here with it" in ran.out
    assert json.loads(command("list", "--json").out) == []
    assert not settings.sweep_dir(sweep.id).exists()
    assert command("delete", sweep.id, "--yes").code == 2


def test_json(command: Command, store: Repository, settings: Settings) -> None:
    sweep = play(store, settings)
    disk_bytes = settings.sweep_bytes(sweep.id)
    deleted = json.loads(command("delete", sweep.id, "--yes", "--json").out)
    assert (deleted["id"], deleted["state"], deleted["disk_bytes"]) == (sweep.id, "completed", disk_bytes)
    assert disk_bytes > 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_at_a_terminal_it_asks(
    command: Command,
    store: Repository,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    sweep = play(store, settings)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ran = command("delete", sweep.id)
    assert ran.code == code
    assert f"Delete sweep {sweep.id} (played: completed, 3 trials completed, 0 MB here) for good? [y/N]" in ran.err
    if code:
        assert f"sweep {sweep.id} was not deleted" in ran.err
        assert store.get_sweep(sweep.id).state == "completed"
    else:
        with pytest.raises(UnknownSweep):
            store.get_sweep(sweep.id)


def test_without_a_terminal_it_must_be_told(command: Command, store: Repository, settings: Settings) -> None:
    sweep = play(store, settings)
    ran = command("delete", sweep.id)
    assert ran.code == 2
    assert "give --yes" in ran.err
    assert store.get_sweep(sweep.id).state == "completed"


@pytest.mark.parametrize("state", ["queued", "running"])
def test_what_goes_on_is_refused_before_anything_is_asked(
    command: Command, store: Repository, settings: Settings, state: str
) -> None:
    sweep = play(store, settings, finish=False) if state == "running" else store.create_sweep(parse_spec(SPEC))[0]
    ran = command("delete", sweep.id)
    assert ran.code == 2
    assert ran.err == f"f3rm-sweeps: sweep {sweep.id} is {state}: cancel it first (`f3rm-sweeps cancel {sweep.id}`)\n"
    assert store.get_sweep(sweep.id).state == state
