"""Deleting a sweep: its files on this machine, its study in Optuna's tables, and its rows.

While its row is locked, so that nobody resumes what is half gone, its files are only set aside: to remove gigabytes
takes seconds, in which no driver of another sweep could write. A crash leaves either a sweep without files, which can
be deleted again, or files set aside, which the next deletion removes.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from sweeps.errors import WrongState
from sweeps.settings import Settings
from sweeps.store.models import SweepRow
from sweeps.store.records import SweepRecord
from sweeps.store.repository import Repository
from sweeps.store.rows import sweep_row
from sweeps.store.studies import delete_study

_ASIDE = ".deleted-"


def delete_sweep(repository: Repository, settings: Settings, sweep_id: str) -> None:
    """Delete a sweep that nobody drives, for good.

    Raises:
        UnknownSweep: there is none.
        WrongState: it is queued or driven.
        OSError: its files can't be removed. Delete it again, or, where it is gone, another.
    """
    folder = settings.sweep_dir(sweep_id)
    repository.settle()
    try:
        with repository.database.write() as session:
            row = sweep_row(session, sweep_id, lock=True)
            refuse_active(row)
            for artifact in delete_study(session, row):
                (settings.artifacts_dir / artifact).unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # they may lie on another machine
                folder.rename(folder.with_name(f"{_ASIDE}{sweep_id}-{secrets.token_hex(4)}"))
            session.delete(row)
    finally:  # also where the database could not be written: its disk may be full of these files
        _remove_aside(folder.parent)


def refuse_active(sweep: SweepRow | SweepRecord) -> None:
    """Refuse a sweep that can't be deleted as it stands.

    Raises:
        WrongState: it is queued or driven.
    """
    if sweep.state == "running" and sweep.cancel_requested:
        raise WrongState(f"sweep {sweep.id} is being cancelled: delete it once its driver has stopped, within seconds")
    if sweep.state in ("queued", "running"):
        raise WrongState(f"sweep {sweep.id} is {sweep.state}: cancel it first (`f3rm-sweeps cancel {sweep.id}`)")


def _remove_aside(folder: Path) -> None:
    for aside in folder.glob(f"{_ASIDE}*"):
        with suppress(FileNotFoundError):  # another deletion is at it as well
            if aside.is_symlink():
                aside.unlink()
            else:
                shutil.rmtree(aside)
