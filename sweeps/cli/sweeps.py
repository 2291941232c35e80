"""Commands on sweeps: submit, list, show, watch, cancel, resume."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from f3rm_core import UsageError, names_weight_file
from sweeps.cli.client import Client, NoService
from sweeps.cli.exits import CommandFailed
from sweeps.cli.output import (
    ago,
    assignments,
    console,
    duration,
    is_narrow,
    number,
    plain,
    print_json,
    styled_state,
    table,
)
from sweeps.cli.store import NoStore, open_store, shown_store
from sweeps.cli.watching import Queue, watch_sweep
from sweeps.driver_process import driver_log, start_driver
from sweeps.errors import UnknownSweep
from sweeps.settings import Settings
from sweeps.store.records import RungRecord, SweepRecord, TrialRecord
from sweeps.store.states import FINISHED_SWEEP, FINISHED_TRIAL, SWEEP_STATES
from sweeps.views import rung_view, sweep_view, trial_view

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sweeps.store.repository import Repository

SweepWords = Annotated[str, typer.Argument(metavar="ID", help="The sweep's id, its name, or how its id begins.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Server = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The service. [F3RM_SERVER, else the one of this data folder]"),
]

TAKEN_UP_SECONDS = 10.0
"""So long a watcher waits for the service to take up a sweep whose driver was killed."""


def submit(
    spec: Annotated[Path, typer.Argument(help="The sweep's spec, YAML or JSON.")],
    watch: Annotated[bool, typer.Option("--watch", help="Watch it until it ends.")] = False,
    server: Server = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The same key and spec again give the same sweep.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask the running service for a sweep.

    A relative scene, preset file or weight file in the spec is looked for from the current folder.

    Example: f3rm-sweeps submit tradeoff.yaml --watch
    """
    from sweeps.spec.sweep import read_spec

    settings = Settings.from_environment()
    body = read_spec(spec).model_dump(mode="json", exclude_unset=True)
    _anchor(body, settings)
    client = Client.find(settings, server)
    key = idempotency_key or str(uuid4())
    sweep = client.submit(json.dumps(body), content_type="application/json", idempotency_key=key)
    if as_json and not watch:
        print_json(sweep)
    elif not as_json:
        for warning in sweep.get("warnings", []):  # an older service tells none
            typer.echo(f"warning: {warning}", err=True)
        console().print(f"sweep [bold]{sweep['id']}[/] ({sweep['name']}) is {sweep['state']} at {client.url}")
    if not watch:
        if not as_json:
            console().print(f"follow it: f3rm-sweeps watch {sweep['id']}    dashboard: {client.url}/")
        return
    try:
        with open_store(settings) as store:
            store.get_sweep(sweep["id"])
            _watch(store, settings, sweep["id"], as_json=as_json, server=server)
    except (UnknownSweep, NoStore):
        raise CommandFailed(
            f"sweep {sweep['id']} was accepted by {client.url}, but it is not in the store {shown_store(settings)}: "
            "set F3RM_STORE_URL to the service's store to watch it"
        ) from None


def list_sweeps(
    state: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(SWEEP_STATES)}.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List sweeps, the newest first.

    Example: f3rm-sweeps list --state running
    """
    if state is not None and state not in SWEEP_STATES:
        raise typer.BadParameter(f"{state!r} is no state; give one of {', '.join(SWEEP_STATES)}", param_hint="--state")
    settings = Settings.from_environment()
    sweeps: Sequence[SweepRecord] = ()
    with suppress(NoStore), open_store(settings) as store:
        sweeps = store.list_sweeps(state=state, limit=limit).items
    if as_json:
        print_json([sweep_view(sweep) for sweep in sweeps])
        return
    if not sweeps:
        none = f"no {state} sweeps" if state else "no sweeps yet"
        begin = "f3rm-sweeps demo, or f3rm-sweeps serve and f3rm-sweeps submit SPEC"
        console().print(f"{none} in {shown_store(settings)}: {begin}", markup=False, soft_wrap=True)
        return
    numbers = ["ended", "completed", "failed"]
    about = [] if is_narrow() else ["scene", "objectives"]
    columns = ["id", "name", "state", *numbers, *about, "created"]
    shown = table(None, columns, right=numbers, whole=["id", "state", "created"])
    for sweep in sweeps:
        shown.add_row(
            sweep.id,
            sweep.name,
            styled_state(sweep.state),
            f"{sum(sweep.counts.get(ended, 0) for ended in FINISHED_TRIAL)}/{sweep.trials_planned}",
            str(sweep.counts.get("completed", 0)),
            str(sweep.counts.get("failed", 0) or ""),
            *([plain(str(sweep.spec["scene"])), ", ".join(sweep.spec["objectives"])] if about else []),
            ago(sweep.created_at),
        )
    console().print(shown)


def show(sweep: SweepWords, as_json: Json = False) -> None:
    """Show a sweep and its trials.

    Example: f3rm-sweeps show tabletop-tradeoff
    """
    settings = Settings.from_environment()
    with open_store(settings) as store:
        record = store.find_sweep(sweep)
        trials, rungs = store.all_trials(record.id), store.rungs(record.id)
        waits = "" if as_json else Queue(store, lambda: _answers(settings, None)).waits(record)
    disk_bytes = settings.sweep_bytes(record.id)
    if as_json:
        print_json(
            {
                **sweep_view(record, spec=True),
                "disk_bytes": disk_bytes,
                "trials": [_with_rungs(trial, rungs) for trial in trials],
            }
        )
        return
    _print_sweep(record, disk_bytes, waits)
    _print_trials(record, trials, {rung.trial: rung for rung in rungs})


def watch(sweep: SweepWords, as_json: Json = False) -> None:
    """Watch a sweep until it ends. Ctrl-C stops watching; the sweep goes on.

    Exit code 0 if it completes, 1 if it fails, is cancelled or interrupted.

    Example: f3rm-sweeps watch k3f
    """
    settings = Settings.from_environment()
    with open_store(settings) as store:
        _watch(store, settings, store.find_sweep(sweep).id, as_json=as_json)


def cancel(sweep: SweepWords, as_json: Json = False) -> None:
    """Cancel a sweep. Results so far stay; it can be resumed.

    Example: f3rm-sweeps cancel k3f
    """
    with open_store() as store:
        record = store.request_cancel(store.find_sweep(sweep).id)
    if as_json:
        print_json(sweep_view(record))
    elif record.state in FINISHED_SWEEP:
        console().print(f"sweep {record.id} is {record.state}")
    else:
        console().print(f"sweep {record.id}: its driver stops the running trials within seconds")


def resume(
    sweep: SweepWords,
    watch: Annotated[bool, typer.Option("--watch", help="Watch it until it ends.")] = False,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Resume an interrupted, failed or cancelled sweep; its finished trials are kept.

    The running service does it. Where none runs, this command starts the sweep's driver itself and watches it;
    Ctrl-C then only stops watching.

    Example: f3rm-sweeps resume k3f
    """
    settings = Settings.from_environment()
    with open_store(settings) as store:
        sweep_id = sweep if server else store.find_sweep(sweep).id
        try:
            client = Client.find(settings, server)
        except NoService:
            if server:
                raise
            _drive_here(store, settings, sweep_id, as_json=as_json)
            return
        resumed = client.resume(sweep_id)
        if watch:
            _watch(store, settings, sweep_id, as_json=as_json, server=server)
        elif as_json:
            print_json(resumed)
        else:
            console().print(f"sweep {sweep_id} is {resumed['state']} at {client.url}")


def _drive_here(store: Repository, settings: Settings, sweep_id: str, *, as_json: bool) -> None:
    store.request_resume(sweep_id)
    driver = start_driver(settings, sweep_id)
    if not as_json:
        log = driver_log(settings, sweep_id)
        console().print(f"no service runs: driver started (process {driver.pid}, log {log})", markup=False)
    _watch(store, settings, sweep_id, as_json=as_json, driver_ended=lambda: driver.poll() is not None)


def _watch(
    store: Repository,
    settings: Settings,
    sweep_id: str,
    *,
    as_json: bool,
    server: str | None = None,
    driver_ended: Callable[[], bool] | None = None,
) -> None:
    answers = None if driver_ended else lambda: _answers(settings, server)
    patience = TAKEN_UP_SECONDS if answers is not None and answers() else 0.0
    try:
        record = watch_sweep(
            store,
            sweep_id,
            quiet=as_json,
            driver_ended=driver_ended,
            service_answers=answers,
            patience_seconds=patience,
        )
    except KeyboardInterrupt:
        if store.get_sweep(sweep_id).state == "running":
            typer.echo(f"\nsweep {sweep_id} goes on; f3rm-sweeps cancel {sweep_id} ends it", err=True)
        raise
    if as_json:
        print_json(sweep_view(record))
    if record.state == "completed":
        return
    log = driver_log(settings, sweep_id)
    if record.state == "cancelled":
        raise CommandFailed(f"sweep {sweep_id} was cancelled; f3rm-sweeps resume {sweep_id} goes on with it")
    if record.state == "failed":
        raise CommandFailed(f"sweep {sweep_id} failed: {record.error or record.stop_reason or f'see {log}'}")
    raise CommandFailed(
        f"sweep {sweep_id} is {record.state}: its driver ended, see {log}; f3rm-sweeps resume {sweep_id}"
    )


def _answers(settings: Settings, server: str | None) -> bool:
    try:
        Client.find(settings, server)
    except (NoService, UsageError):
        return False
    return True


def _anchor(body: dict[str, Any], settings: Settings) -> None:
    """Make paths absolute: the service and the driver run in other folders than the user who writes `./scene`."""
    from sweeps.spec.presets import is_file

    def anchored(path: str, is_there: Callable[[str], bool]) -> str:
        absolute = os.path.realpath(os.path.expanduser(path))
        return absolute if is_there(absolute) else path

    def anchored_preset(preset: str) -> str:
        return anchored(preset, os.path.isfile) if is_file(preset) else preset

    if settings.scene_root is None and "scene" in body:
        body["scene"] = anchored(body["scene"], os.path.isdir)
    if "base" in body:
        body["base"] = anchored_preset(body["base"])
    warm_start = body.get("search", {}).get("warm_start", {})
    if "presets" in warm_start:
        warm_start["presets"] = [anchored_preset(preset) for preset in warm_start["presets"]]
    for name in ("clip_pretrained", "dino_pretrained"):
        weights = body.get("parameters", {}).get(name, "")
        if names_weight_file(weights):
            body["parameters"][name] = anchored(weights, os.path.isfile)


def _print_sweep(sweep: SweepRecord, disk_bytes: int, waits: str) -> None:
    spec = sweep.spec
    counts = ", ".join(f"{count} {_state(sweep, state)}" for state, count in sweep.counts.items()) or "none yet"
    out = console()
    out.print(f"[bold]{sweep.name}[/]  {sweep.id}  {styled_state(sweep.state)}")
    out.print(f"  scene       {spec['scene']}, base {spec['base']}", markup=False)
    out.print(f"  objectives  {', '.join(spec['objectives'])}")
    out.print(f"  trials      {sweep.trials_planned} planned: {counts}")
    out.print(f"  disk        {disk_bytes / 1e6:.0f} MB here, checkpoints included")
    out.print(f"  time        created {ago(sweep.created_at)}, driven for {duration(sweep.driver_seconds)}")
    if sweep.cancel_requested and sweep.state not in FINISHED_SWEEP:
        out.print("  cancelling  its driver stops the running trials")
    if waits:
        out.print(f"  queued      {waits}")
    if sweep.state == "interrupted":
        out.print(f"  driver      died; f3rm-sweeps resume {sweep.id} goes on with it")
    for word, text in (("ended", sweep.stop_reason), ("error", sweep.error)):
        if text:
            out.print(f"  {word:<11} {text}", markup=False)


def _state(sweep: SweepRecord, trial_state: str) -> str:
    """A trial's state with its colour. Where its driver died nothing runs, whatever the store says until the next."""
    cut_off = trial_state == "running" and sweep.state != "running"
    return "[yellow]cut off[/]" if cut_off else styled_state(trial_state)


def _with_rungs(trial: TrialRecord, rungs: list[RungRecord]) -> dict[str, Any]:
    return {**trial_view(trial), "rungs": [rung_view(rung) for rung in rungs if rung.trial == trial.number]}


def _print_trials(sweep: SweepRecord, trials: list[TrialRecord], last: Mapping[int, RungRecord]) -> None:
    """A table of the trials; one that has no result yet shows what it measured at its last rung, dimmed."""
    if not trials:
        return
    objectives = list(sweep.spec["objectives"])
    more = [] if is_narrow() else ["steps", "took"]
    shown = table(None, ["trial", "state", *more, *objectives, "parameters"], right=["trial", *more, *objectives])
    first: dict[str, int] = {}
    for trial in trials:
        rung = last.get(trial.number)
        original = first.setdefault(json.dumps(dict(trial.parameters), sort_keys=True), trial.number)
        notes = [trial.failure_reason] if trial.failure_reason else []
        if original != trial.number and sweep.spec.get("kind") != "ablation":
            notes.append(f"repeats trial {original}")
        state = _state(sweep, trial.state) + (f" ({', '.join(notes)})" if notes else "")
        if rung is not None and rung.reason and trial.state in ("paused", "pruned"):
            state += f": [dim]{rung.reason}[/]"
        elif trial.failure_message:
            state += f": [dim]{plain(trial.failure_message)}[/]"
        measured = rung.metrics if rung is not None and not trial.metrics else trial.metrics
        style = "" if trial.metrics else "dim"
        shown.add_row(
            str(trial.number),
            state,
            *([f"{trial.step}/{trial.total_steps}", duration(trial.seconds)] if more else []),
            *[
                f"[{style}]{number(measured.get(name))}[/]" if style else number(measured.get(name))
                for name in objectives
            ],
            assignments(trial.parameters),
        )
    console().print(shown)
