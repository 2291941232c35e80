"""doctor: what this machine has, and what is in the way."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any, Literal

import typer

import sweeps
from f3rm_core import F3RMError, describe_environment
from sweeps.cli.client import Client
from sweeps.cli.exits import FAILED
from sweeps.cli.output import console, plain, print_json, table
from sweeps.cli.store import open_store
from sweeps.cli.sweeps import Json
from sweeps.settings import Settings

OUR_PACKAGES = ("f3rm_core", "sweeps", "service", "presets")
OUR_DISTRIBUTION = "f3rm-sweeps"
_WEIGHTS = ("clip weights", "dino weights")
LOWEST_FREE_BYTES = 2_000_000_000
_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[red]bad[/]"}


@dataclass(frozen=True)
class Finding:
    """One thing that doctor looked at.

    Args:
        what: what was looked at.
        status: ok; note: works, but know it; bad: sweeps can't run.
        detail: what was found, and what to do about it.
    """

    what: str
    status: Literal["ok", "note", "bad"]
    detail: str


def doctor(as_json: Json = False) -> None:
    """Say what was found: device, encodings, CLIP and DINO weights, Ray, database, shadowed packages.

    Exit code 1 if something keeps sweeps from running.

    Example: f3rm-sweeps doctor
    """
    settings = Settings.from_environment()
    checks: list[Callable[[], list[Finding]]] = [
        _packages,
        _training,
        _ray,
        lambda: _store(settings),
        lambda: _folders(settings),
        lambda: _service(settings),
    ]
    findings = [finding for check in checks for finding in check()]
    if as_json:
        print_json([finding.__dict__ for finding in findings])
    else:
        shown = table(None, ["", "what", "found"])
        for finding in findings:
            shown.add_row(_MARKS[finding.status], finding.what, plain(finding.detail))
        console().print(shown)
    if any(finding.status == "bad" for finding in findings):
        raise typer.Exit(FAILED)


def _packages() -> list[Finding]:
    root, owners = Path(sweeps.__file__).resolve().parents[1], packages_distributions()
    return [check_package(name, root, owners.get(name, ())) for name in OUR_PACKAGES]


def check_package(name: str, root: Path, owners: Collection[str] = ()) -> Finding:
    """Whether `import name` gives our package, and whether another distribution claims the name too.

    Args:
        name: of a top-level package of ours.
        root: folder that holds our packages.
        owners: distributions that install a package of this name.
    """
    spec = importlib.util.find_spec(name)
    place = Path(spec.origin).resolve() if spec is not None and spec.origin else None
    if place is None or not place.is_relative_to(root / name):
        found = f"found at {place}" if place else "not found"
        return Finding(
            f"package {name}",
            "bad",
            f"import {name} does not give ours ({found}): use a virtual environment of its own",
        )
    others = sorted(set(owners) - {OUR_DISTRIBUTION})
    if others:
        return Finding(
            f"package {name}",
            "bad",
            f"{', '.join(others)} installs a package of this name too: uninstall it, files of both may be mixed",
        )
    return Finding(f"package {name}", "ok", str(place.parent))


def _training() -> list[Finding]:
    try:
        found = describe_environment()
    except Exception as error:  # torch or nerfstudio that can't be imported: any exception is possible
        return [Finding("training", "bad", f"{type(error).__name__}: {error}; install the pinned versions again")]
    findings = []
    for key, value in found.items():
        if key == "cache_dir":  # looked at below, with the room it has
            continue
        words = key.replace("_", " ")
        if isinstance(value, dict):
            findings += [_described(f"{words}: {name}", text) for name, text in value.items()]
        else:
            findings.append(_described(words, value))
    return findings


def _described(what: str, value: Any) -> Finding:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    missing = text.startswith("not ") or (what.startswith(_WEIGHTS) and text != "ready")
    return Finding(what, "note" if missing else "ok", text)


def _ray() -> list[Finding]:
    try:
        found = version("ray")
    except PackageNotFoundError:
        return [Finding("ray", "bad", 'not installed: pip install "ray[tune]"')]
    address = os.environ.get("F3RM_RAY_ADDRESS")
    where = f"uses the cluster {address}" if address else "a local one is started for each sweep"
    return [Finding("ray", "ok", f"{found}; {where}")]


def _store(settings: Settings) -> list[Finding]:
    try:
        with open_store(settings, make=True) as store:
            sweeps_known = len(store.list_sweeps(limit=500).items)
    except F3RMError as error:
        return [Finding("database", "bad", str(error))]
    kind = settings.store_url.split(":", 1)[0].split("+", 1)[0]
    name = f"SQLite {sqlite3.sqlite_version}" if kind == "sqlite" else kind
    known = "500 sweeps or more" if sweeps_known == 500 else f"{sweeps_known} sweeps"
    return [Finding("database", "ok", f"{name}, {known}")]


def _folders(settings: Settings) -> list[Finding]:
    return [
        check_folder("data folder", settings.data_dir),
        check_folder("cache folder", settings.cache_dir),
        *([check_folder("scene root", settings.scene_root, write=False)] if settings.scene_root else []),
    ]


def check_folder(what: str, folder: Path, *, write: bool = True) -> Finding:
    """Whether a folder can be used: it (or the first of its parents that exists) can be written, and has room."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if not existing.is_dir():
        return Finding(what, "bad", f"{existing} is not a folder: remove it, or choose another place")
    if not write:
        return Finding(
            what,
            "ok" if folder.is_dir() else "bad",
            str(folder) if folder.is_dir() else f"{folder} is missing",
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            what, "bad", f"{folder} can't be written: choose another place by F3RM_DATA_DIR or F3RM_CACHE_DIR"
        )
    free = os.statvfs(existing)
    free_bytes = free.f_bavail * free.f_frsize
    room = f"{folder}, {free_bytes / 1e9:.1f} GB free"
    return Finding(what, "note" if free_bytes < LOWEST_FREE_BYTES else "ok", room)


def _service(settings: Settings) -> list[Finding]:
    try:
        client = Client.find(settings, None)
    except F3RMError as error:
        return [Finding("service", "note", str(error))]
    return [Finding("service", "ok", f"answers at {client.url}")]
