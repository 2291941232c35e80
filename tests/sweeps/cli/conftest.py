"""The command against a store of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sweeps.cli import main
from sweeps.cli.output import console
from sweeps.settings import Settings
from sweeps.store.repository import Repository


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Folders of the test; every command takes them from the environment."""
    for name in ("F3RM_STORE_URL", "F3RM_SERVER", "F3RM_SCENE_ROOT", "F3RM_PORT", "F3RM_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("F3RM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("F3RM_CACHE_DIR", str(tmp_path / "cache"))
    return Settings.from_environment()


@pytest.fixture
def store(settings: Settings) -> Iterator[Repository]:
    repository = Repository.open(settings.store_url)
    yield repository
    repository.close()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process and return its exit code and what it printed."""

    def run(*words: object) -> Ran:
        console.cache_clear()  # it holds the stdout of the test before
        capsys.readouterr()
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    return run
