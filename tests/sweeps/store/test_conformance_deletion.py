"""Of a deleted sweep nothing is left, of others everything. Runs on SQLite, and on PostgreSQL with `-m slow`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, select
from sqlalchemy.orm import Session

from sweeps.errors import LeaseLost, StoreUnavailable, UnknownSweep, WrongState
from sweeps.search.study import Study, open_storage
from sweeps.settings import Settings
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.store.database import Database
from sweeps.store.deletion import delete_sweep
from sweeps.store.records import SweepRecord
from sweeps.store.repository import Repository
from tests.played import SPEC, play
from tests.sweeps.store.actions import DEAD_HERE, a_sweep, drive, launch


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Settings:
    return Settings(store_url, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.fixture
def played(repository: Repository, settings: Settings) -> Callable[[], SweepRecord]:
    """A completed sweep with pictures, a checkpoint and a study that shows them, as a driver leaves it."""

    def make() -> SweepRecord:
        sweep = play(repository, settings)
        folder = settings.sweep_dir(sweep.id)
        checkpoints = settings.trial_dir(sweep.id, 2) / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / "step-000000100.ckpt").write_bytes(bytes(1000))
        study = Study(open_storage(settings.store_url), sweep, check_spec(parse_spec(SPEC)), settings.artifacts_dir)
        study.reconcile(repository.all_trials(sweep.id), repository.rungs(sweep.id), folder)
        study.put(4, {"feat_loss_weight": 0.5})  # what a driver was about to start
        return sweep

    return make


def everything(repository: Repository, settings: Settings) -> tuple[dict[str, list[str]], list[Path]]:
    """All rows of all tables, Optuna's as well, and all files."""
    tables = MetaData()
    tables.reflect(repository.database.engine)
    with repository.database.read() as session:
        rows = {
            table.name: sorted(repr(tuple(row)) for row in session.execute(select(table)))
            for table in tables.sorted_tables
        }
    return rows, sorted(path for path in settings.data_dir.rglob("*") if path.is_file())


def test_nothing_is_left_of_it_and_nothing_of_another_is_touched(
    repository: Repository, settings: Settings, played: Callable[[], SweepRecord]
) -> None:
    played()
    before = everything(repository, settings)
    sweep = played()
    with_both = everything(repository, settings)
    grown = {name for name, rows in with_both[0].items() if len(rows) > len(before[0][name])}
    assert {"f3rm_reports", "f3rm_rungs", "f3rm_leases", "trial_values", "study_system_attributes"} < grown
    assert len(with_both[1]) == 2 * len(before[1])
    delete_sweep(repository, settings, sweep.id)
    assert everything(repository, settings) == before
    with pytest.raises(UnknownSweep, match=sweep.id):
        delete_sweep(repository, settings, sweep.id)


@pytest.mark.parametrize("state", ["cancelled", "failed", "interrupted"])
def test_one_that_nobody_drives_and_that_has_no_files_or_study(
    repository: Repository, settings: Settings, state: str
) -> None:
    sweep = a_sweep(repository)
    if state == "cancelled":
        repository.request_cancel(sweep.id)
    elif state == "failed":
        repository.fail_sweep(sweep.id, "disk full")
    else:
        launch(drive(repository, sweep.id, DEAD_HERE))
    assert repository.get_sweep(sweep.id).state == state
    delete_sweep(repository, settings, sweep.id)
    assert repository.list_sweeps().items == []


@pytest.mark.parametrize(
    ("state", "remedy"), [("queued", "cancel it first"), ("running", "cancel it first"), ("running", "being cancelled")]
)
def test_one_that_is_driven_or_about_to_be_is_refused(
    repository: Repository, settings: Settings, state: str, remedy: str
) -> None:
    sweep = a_sweep(repository)
    settings.sweep_dir(sweep.id).mkdir(parents=True)
    if state == "running":
        drive(repository, sweep.id)
    if remedy == "being cancelled":
        repository.request_cancel(sweep.id)
    with pytest.raises(WrongState, match=f"{sweep.id} is .*{remedy}"):
        delete_sweep(repository, settings, sweep.id)
    assert repository.get_sweep(sweep.id).state == state
    assert settings.sweep_dir(sweep.id).is_dir()


def test_a_driver_that_was_only_slow_stops(repository: Repository, settings: Settings, clock: Any) -> None:
    held = drive(repository, a_sweep(repository).id)
    clock.forward(31)
    delete_sweep(repository, settings, held.sweep_id)
    with pytest.raises(LeaseLost, match="deleted"):
        held.renew()


def test_where_the_database_cant_be_written_room_is_made_and_it_can_be_deleted_again(
    repository: Repository, settings: Settings, played: Callable[[], SweepRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Database.write

    @contextmanager
    def full_at_the_commit(database: Database) -> Iterator[Session]:
        with write(database) as session:
            yield session
            raise StoreUnavailable("database or disk is full")

    sweep = played()
    with monkeypatch.context() as full:
        full.setattr(Database, "write", full_at_the_commit)
        with pytest.raises(StoreUnavailable):
            delete_sweep(repository, settings, sweep.id)
    assert repository.get_sweep(sweep.id).state == "completed"
    assert not list(settings.data_dir.rglob("*.ckpt"))
    delete_sweep(repository, settings, sweep.id)
    assert repository.list_sweeps().items == []


def test_what_a_killed_deletion_left_is_removed_by_the_next(
    repository: Repository, settings: Settings, played: Callable[[], SweepRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    first, second, kept = played(), played(), played()
    with monkeypatch.context() as dying:
        dying.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_sweep(repository, settings, first.id)
    assert len(list(settings.data_dir.rglob("*.ckpt"))) == 3
    delete_sweep(repository, settings, second.id)
    assert [path.name for path in (settings.data_dir / "sweeps").iterdir()] == [kept.id]
