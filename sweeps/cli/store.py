"""The store that commands read, named by F3RM_STORE_URL or F3RM_DATA_DIR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from f3rm_core import UsageError
from sweeps.settings import Settings

if TYPE_CHECKING:
    from sweeps.store.repository import Repository


class NoStore(UsageError):
    """The database is a file that does not exist."""


@contextmanager
def open_store(settings: Settings | None = None, *, make: bool = False) -> Iterator[Repository]:
    """The store of these settings (None: those of the environment), closed at the end.

    Args:
        settings: which store.
        make: make one where there is none. A command that looks for a sweep makes none: a mistyped name would look
            like lost sweeps.

    Raises:
        InvalidSetting: a setting that can't work.
        NoStore: there is none.
        StoreUnavailable: the database can't be opened.
    """
    from sweeps.store.database import store_url
    from sweeps.store.repository import Repository

    settings = settings or Settings.from_environment()
    url = store_url(settings.store_url)
    file = str(url.database)
    if not make and url.get_backend_name() == "sqlite" and not file.startswith("file:") and not Path(file).exists():
        raise NoStore(
            f"no sweeps yet in {shown_store(settings)}, which does not exist; for another store set F3RM_STORE_URL or "
            "F3RM_DATA_DIR"
        )
    repository = Repository.open(settings.store_url)
    try:
        yield repository
    finally:
        repository.close()


def shown_store(settings: Settings) -> str:
    """The store's URL without its password."""
    from sweeps.store.database import store_url

    return store_url(settings.store_url).render_as_string(hide_password=True)
