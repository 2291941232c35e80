"""A store that is not there, or empty."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.cli.store import shown_store
from sweeps.settings import Settings
from sweeps.store.repository import Repository
from tests.sweeps.cli.conftest import Command


def test_a_mistyped_store_is_named_and_not_made(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("F3RM_STORE_URL", f"sqlite:///{tmp_path}/nope/x.db")
    ran = command("list")
    assert (ran.code, ran.out.split(":")[0]) == (0, "no sweeps yet in sqlite")
    assert f"{tmp_path}/nope/x.db" in ran.out
    for words in (["show", "played"], ["winner", "played"], ["cancel", "played"]):
        ran = command(*words)
        assert (ran.code, ran.err) == (
            2,
            f"f3rm-sweeps: no sweeps yet in sqlite:///{tmp_path}/nope/x.db, which does not exist; for another "
            "store set F3RM_STORE_URL or F3RM_DATA_DIR\n",
        )
    assert not (tmp_path / "nope").exists()


def test_an_empty_store_is_named_without_its_password(command: Command, store: Repository, settings: Settings) -> None:
    assert f"no sweeps yet in {settings.store_url}: " in command("list").out
    assert shown_store(replace(settings, store_url="postgresql://me:secret@host/f3rm")) == (
        "postgresql+psycopg://me:***@host/f3rm"
    )
