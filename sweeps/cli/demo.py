"""demo: the whole path once, from a spec over REST to the exported winner."""

from __future__ import annotations

import json
import time
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from f3rm_core import write_whole
from sweeps.cli.exits import CommandFailed
from sweeps.cli.output import assignments, console, duration, plain
from sweeps.cli.output_folder import make_output_folder
from sweeps.cli.results import plot_outcome, print_front
from sweeps.cli.service_process import running_service
from sweeps.cli.store import open_store
from sweeps.cli.watching import watch_sweep
from sweeps.driver_process import driver_log
from sweeps.settings import Settings
from sweeps.store.records import SweepRecord, TrialRecord
from sweeps.store.states import FINISHED_SWEEP
from sweeps.views import objectives_view, trial_view

if TYPE_CHECKING:
    from sweeps.outcome import Outcome

SCENARIO = "balanced"
PATIENCE_SECONDS = 180.0


def demo(
    output: Annotated[Path, typer.Option(metavar="DIR", help="Leave the results there.")] = Path("out/demo"),
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials.")] = None,
    spec: Annotated[Path | None, typer.Option(metavar="FILE", help="Another sweep than the demo's own.")] = None,
    keep_serving: Annotated[
        bool | None,
        typer.Option(help="Let the dashboard run at the end (default: in a terminal).", show_default=False),
    ] = None,
) -> None:
    """Run a small sweep on the embedded scene: REST, live progress, the front, the winner.

    Leaves front.png, winner.yaml and summary.json in the output folder.

    Example: f3rm-sweeps demo --trials 6
    """
    from sweeps.spec.documents import parse_document, read_document

    began = time.monotonic()
    settings = Settings.from_environment()
    make_output_folder(output)
    text = resources.files("sweeps.cli").joinpath("demo.yaml").read_text(encoding="utf-8")
    body = parse_document(text) if spec is None else read_document(spec)
    if trials is not None:
        body["budget"] = {**body.get("budget", {}), "trials": trials}
    out = console()
    where = f"a sweep on {body['scene']}, data in {settings.data_dir}"
    out.print(f"[bold]f3rm-sweeps demo[/]: {plain(where)}")
    with running_service(settings) as client:
        out.print(f"service    {client.url}/api/v1  (OpenAPI {client.url}/docs)")
        out.print(f"dashboard  {client.url}/dashboard")
        sweep_id = client.submit(json.dumps(body), content_type="application/json")["id"]
        out.print(f"sweep      {sweep_id}, accepted by POST {client.url}/api/v1/sweeps\n")
        outcome = _run(settings, sweep_id)
        _leave_results(settings, outcome, output, seconds=time.monotonic() - began)
        stay = console().is_terminal if keep_serving is None else keep_serving
        if stay:
            out.print(f"\nthe dashboard stays at [bold]{client.url}/dashboard[/]; Ctrl-C ends it")
            _wait_for_interrupt()
        else:
            out.print("\nto see the dashboard again: f3rm-sweeps serve")


def _run(settings: Settings, sweep_id: str) -> Outcome:
    from sweeps.outcome import Outcome

    with open_store(settings) as store:
        try:
            # Whoever kills the driver to see what happens may resume the sweep from another terminal.
            sweep = watch_sweep(store, sweep_id, patience_seconds=PATIENCE_SECONDS)
        except KeyboardInterrupt:
            if store.get_sweep(sweep_id).state not in FINISHED_SWEEP:
                store.request_cancel(sweep_id)
                console().print(f"\nsweep {sweep_id} is being cancelled; f3rm-sweeps resume {sweep_id} goes on with it")
            raise
        outcome = Outcome.read(store, sweep_id)
        if sweep.state != "completed" or not outcome.trials:
            raise CommandFailed(_why_failed(settings, sweep, store.all_trials(sweep_id)))
        return outcome


def _why_failed(settings: Settings, sweep: SweepRecord, trials: list[TrialRecord]) -> str:
    reasons = Counter(trial.failure_message for trial in trials if trial.state == "failed")
    said = sweep.error or (reasons.most_common(1)[0][0] if reasons else sweep.stop_reason)
    return f"sweep {sweep.id} is {sweep.state}: {said or 'no trial completed'}; log: {driver_log(settings, sweep.id)}"


def _leave_results(settings: Settings, outcome: Outcome, output: Path, *, seconds: float) -> None:
    from sweeps.analysis.export import command, preset_yaml
    from sweeps.analysis.provenance import origin_of

    sweep = outcome.sweep
    winner = outcome.winner(SCENARIO)
    chosen = outcome.trials[winner.number]
    preset_file = output / "winner.yaml"
    again = command(sweep, preset_file=str(preset_file))
    plot_outcome(outcome, output / "front.png", winner)
    with open_store(settings) as store:
        summary = summarise(sweep, store.all_trials(sweep.id), outcome, seconds=seconds)
        origin = origin_of(store, chosen)
    write_whole(preset_file, preset_yaml(sweep, chosen, origin, why=winner.reason).encode())
    summary["winner"] = {
        "scenario": SCENARIO,
        "trial": winner.number,
        "reason": winner.reason,
        "metrics": dict(chosen.metrics),
        "preset": str(preset_file),
        "command": again,
    }
    write_whole(output / "summary.json", f"{json.dumps(summary, indent=2, default=str)}\n".encode())

    out = console()
    out.print("\n[bold]The front[/]")
    print_front(outcome, winner.number)
    out.print(f"\n[bold]The winner[/] ({SCENARIO}): trial {winner.number}  {assignments(chosen.parameters)}")
    out.print(winner.reason, markup=False, soft_wrap=True)
    out.print(f"\ntrain it again: {again}", markup=False, soft_wrap=True)
    files = ", ".join(f"{output}/{name}" for name in ("front.png", "winner.yaml", "summary.json"))
    out.print(f"left: {files}   ({duration(seconds)} in all)", markup=False)


def summarise(sweep: SweepRecord, trials: list[TrialRecord], outcome: Outcome, *, seconds: float) -> dict[str, Any]:
    """What summary.json says, but for the winner.

    Args:
        sweep, trials: the sweep and all its trials.
        outcome: its completed trials.
        seconds: what the whole demo took.
    """
    return {
        "sweep": {"id": sweep.id, "name": sweep.name, "scene": sweep.spec["scene"], "state": sweep.state},
        "objectives": objectives_view(sweep),
        "trials_planned": sweep.trials_planned,
        "states": dict(sweep.counts),
        "front": [point.trial for point in outcome.points() if point.on_front],
        "trials": [trial_view(trial) for trial in trials],
        "seconds": round(seconds, 1),
    }


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console().print("the service has ended")
