"""Opening a database: migrations, several processes at once, and what can go wrong."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from sweeps.errors import StoreUnavailable
from sweeps.store.database import Database, store_url
from sweeps.store.migrations import HEAD_REVISION, VERSION_TABLE
from sweeps.store.migrations.run import scripts
from sweeps.store.models import Base
from tests.full_disk import no_room_beyond


def test_the_migrations_make_the_tables_of_the_models(store_url: str) -> None:
    database = Database.open(store_url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        differences = [
            difference
            for difference in compare_metadata(context, Base.metadata)
            if VERSION_TABLE not in str(difference)
        ]
    database.close()
    assert differences == []


def test_the_newest_migration_is_the_one_that_opening_looks_for() -> None:
    assert scripts().get_heads() == [HEAD_REVISION]


def test_optunas_tables_and_ours_live_together(store_url: str) -> None:
    import optuna

    from sweeps.search.study import open_storage

    storage = open_storage(store_url)
    optuna.create_study(storage=storage, study_name="one")
    Database.open(store_url).close()
    database = Database.open(store_url)
    assert [study.study_name for study in open_storage(store_url).get_all_studies()] == ["one"]
    database.close()


def test_processes_that_open_at_once_all_succeed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'store.db'}"
    code = "import sys; from sweeps.store.repository import Repository; Repository.open(sys.argv[1]).list_sweeps()"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert errors == [""] * 3


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Database.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="newer version"):
        Database.open(f"sqlite:///{path}")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("not a database" * 100)
    with pytest.raises(StoreUnavailable, match=r"store\.db.*not a database; set F3RM_STORE_URL .* move the file away$"):
        Database.open(f"sqlite:///{path}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnavailable, match=r"store\.db"):
        Database.open(f"sqlite:///{tmp_path / 'store.db'}")


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"file.*set F3RM_DATA_DIR to a folder that you may write to"):
        Database.open(f"sqlite:///{tmp_path / 'file' / 'store.db'}")


def test_a_full_disk_is_named_and_the_next_opening_finds_no_half_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    for size_bytes in (100, 5000, 50_000):  # before the first page, within the schema, at the write-ahead log
        with no_room_beyond(size_bytes), pytest.raises(StoreUnavailable) as caught:
            Database.open(url)
        assert str(caught.value).startswith(f"the database {url} can't be opened: ")
        assert str(caught.value).endswith("; make room, or set F3RM_DATA_DIR to a folder that you may write to")
        assert "\n" not in str(caught.value)
    Database.open(url).close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://u@h/d", "sqlite://", "sqlite:///:memory:"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="sqlite:///FILE"):
        Database.open(url)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        Database.open("postgresql://user:secret@127.0.0.1:1/nothing")
    assert "secret" not in str(caught.value)
    assert "check F3RM_STORE_URL, and that the server runs" in str(caught.value)
    assert store_url("postgresql://u:p@h/d").drivername == "postgresql+psycopg"
