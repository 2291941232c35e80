"""One database: engine, transactions, time, and migrations at opening. SQLite or PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from sweeps.errors import StoreUnavailable
from sweeps.store.migrations import HEAD_REVISION, VERSION_TABLE

BUSY_SECONDS = 30.0
"""How long a SQLite writer waits for another one."""

_MIGRATION_LOCK = 0x4633524D  # "F3RM": key of PostgreSQL's advisory lock


class Database:
    """A database that is up to date and ready. `open` it; don't build it directly."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] | None) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], datetime] | None = None) -> Database:
        """Connect, create what is missing, and bring the tables up to date.

        Args:
            url: a SQLAlchemy URL of SQLite or PostgreSQL.
            clock: the time now, aware; for tests. None: the database server's, or this machine's with SQLite.

        Raises:
            StoreUnavailable: the database can't be reached or written, or is of a newer version.
        """
        parsed = store_url(url)
        try:
            engine = _engine(parsed)
            database = cls(engine, clock)
            if database.is_sqlite:
                _prepare_sqlite(engine)
            database.exclusively(_migrate)
        except (DBAPIError, sqlite3.Error) as error:
            raise _unavailable(parsed, "can't be opened", _one_line(error)) from error
        except OSError as error:
            raise _unavailable(parsed, "can't be opened", f"{error.strerror} ({error.filename})") from None
        return database

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view of the database; nothing is written."""
        with _in_our_words(self.engine), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that holds the right to write from its beginning; rolled back on any exception."""
        engine = self.engine.execution_options(f3rm_write=True)
        with _in_our_words(self.engine), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def exclusively(self, work: Callable[[Connection], None]) -> None:
        """Run schema changes in one transaction, so that processes that start at once take turns."""
        with self.engine.execution_options(f3rm_write=True).begin() as connection:
            if not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            work(connection)

    def now(self, session: Session) -> datetime:
        """The time that leases are judged by: one clock for all machines where the database has one."""
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return datetime.now(UTC)
        row: Row[Any] = session.execute(select(func.clock_timestamp())).one()
        return row[0].astimezone(UTC)


def store_url(url: str) -> URL:
    """The URL with its driver: psycopg 3 for PostgreSQL.

    Raises:
        StoreUnavailable: not a URL of SQLite or PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreUnavailable(f"F3RM_STORE_URL={url!r}: give sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        shown = parsed.render_as_string(hide_password=True)
        raise StoreUnavailable(f"F3RM_STORE_URL={shown!r}: give sqlite:///FILE or postgresql://USER@HOST/NAME")
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True)
    Path(str(url.database)).expanduser().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    # The driver's own transactions start at the first write and so can't keep a read consistent: we begin ourselves.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")


def _on_sqlite_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once if another has written between: lock early.
    write = connection.get_execution_options().get("f3rm_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_sqlite(engine: Engine) -> None:
    """Switch to write-ahead logging, which lasts; a switch does not wait for others by itself."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise OperationalError("PRAGMA journal_mode = WAL", None, error) from error
            time.sleep(0.05)
        finally:
            raw.close()


def _migrate(connection: Connection) -> None:
    if inspect(connection).has_table(VERSION_TABLE):
        version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        if version == HEAD_REVISION:
            return
    from sweeps.store.migrations.run import upgrade  # imports Alembic, which only a new version needs

    upgrade(connection)


@contextmanager
def _in_our_words(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        raise _unavailable(engine.url, "failed", _one_line(error)) from error


def _unavailable(url: URL, what: str, reason: str) -> StoreUnavailable:
    remedy = "check F3RM_STORE_URL, and that the server runs"
    if url.get_backend_name() == "sqlite":
        remedy = "make room, or set F3RM_DATA_DIR to a folder that you may write to"
        if "not a database" in reason:
            remedy = "set F3RM_STORE_URL or F3RM_DATA_DIR to another place, or move the file away"
    return StoreUnavailable(f"the database {url.render_as_string(hide_password=True)} {what}: {reason}; {remedy}")


def _one_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
