"""The store that commands read, named by F3RM_STORE_URL or F3RM_DATA_DIR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sweeps.settings import Settings

if TYPE_CHECKING:
    from sweeps.store.repository import Repository


@contextmanager
def open_store(settings: Settings | None = None) -> Iterator[Repository]:
    """The store of these settings (None: those of the environment), closed at the end.

    Raises:
        InvalidSetting: a setting that can't work.
        StoreUnavailable: the database can't be opened.
    """
    from sweeps.store.repository import Repository

    repository = Repository.open((settings or Settings.from_environment()).store_url)
    try:
        yield repository
    finally:
        repository.close()
