"""delete: remove a sweep for good."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from f3rm_core import UsageError
from sweeps.cli.exits import CommandFailed
from sweeps.cli.output import console, print_json
from sweeps.cli.store import open_store
from sweeps.cli.sweeps import Json, SweepWords
from sweeps.settings import Settings
from sweeps.views import sweep_view

if TYPE_CHECKING:
    from sweeps.store.records import SweepRecord


def delete(
    sweep: SweepWords,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a sweep for good: its trials and results, its checkpoints, pictures and log on this machine.

    One that is queued or running is refused: cancel it first. Later sweeps that started from it keep what they found.

    Example: f3rm-sweeps delete k3f
    """
    from sweeps.store.deletion import delete_sweep, refuse_active

    settings = Settings.from_environment()
    with open_store(settings) as store:
        record = store.find_sweep(sweep)
        refuse_active(record)
        disk_bytes = settings.sweep_bytes(record.id)
        if not yes:
            _ask(record, disk_bytes)
        delete_sweep(store, settings, record.id)
    if as_json:
        print_json({**sweep_view(record), "disk_bytes": disk_bytes})
    else:
        console().print(f"sweep {record.id} ({record.name}) is deleted, {disk_bytes / 1e6:.0f} MB here with it")


def _ask(sweep: SweepRecord, disk_bytes: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"sweep {sweep.id} ({sweep.name}): give --yes, as there is no terminal to ask at")
    found = f"{sweep.state}, {sweep.counts.get('completed', 0)} trials completed, {disk_bytes / 1e6:.0f} MB here"
    if not typer.confirm(f"Delete sweep {sweep.id} ({sweep.name}: {found}) for good?", err=True):
        raise CommandFailed(f"sweep {sweep.id} was not deleted")
