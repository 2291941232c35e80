"""Bring a database's tables to the newest version."""

from __future__ import annotations

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from sweeps.errors import StoreUnavailable
from sweeps.store.migrations import VERSION_TABLE


def scripts() -> ScriptDirectory:
    """The migrations that ship with this version."""
    return ScriptDirectory(str(Path(__file__).parent))


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, in the connection's transaction.

    Raises:
        StoreUnavailable: the database was written by a newer version.
    """
    directory = scripts()
    heads = directory.get_heads()
    known = {script.revision for script in directory.walk_revisions()}

    def missing(revision: str | tuple[str, ...], _context: MigrationContext) -> list[object]:
        for one in (revision,) if isinstance(revision, str) else revision or ():
            if one not in known:
                raise StoreUnavailable(
                    f"the database has tables of a newer version ({one}); install that version of f3rm-sweeps"
                )
        return list(directory._upgrade_revs("head", revision))  # type: ignore[arg-type]

    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "fn": missing, "transactional_ddl": True}
    )
    with Operations.context(context):
        context.run_migrations()
    assert context.get_current_heads() == tuple(heads)
