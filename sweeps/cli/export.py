"""export: a trial to keep, or to use elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from f3rm_core import UsageError, write_whole
from sweeps.cli.output import console
from sweeps.cli.store import open_store
from sweeps.cli.sweeps import SweepWords
from sweeps.settings import Settings

Format = Literal["preset", "nerfstudio", "command", "checkpoint"]


def export(
    sweep: SweepWords,
    scenario: Annotated[str | None, typer.Option(help="The winner of this scenario (default: balanced).")] = None,
    trial: Annotated[int | None, typer.Option(metavar="N", min=0, help="This trial instead.")] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="A preset; a config for ns-train; a command; the trained model as nerfstudio's run folder.",
        ),
    ] = "preset",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: stdout. A checkpoint: a folder.")
    ] = None,
) -> None:
    """Export a trial: its configuration, the command that trains it again, or its trained model.

    A nerfstudio config is for `ns-train f3rm --load-config FILE`; a checkpoint for `ns-eval` and `ns-viewer`.

    Example: f3rm-sweeps export k3f --scenario balanced -o winner.yaml
    """
    from sweeps.analysis.export import nerfstudio_config, nerfstudio_run, preset_yaml
    from sweeps.analysis.provenance import origin_of
    from sweeps.outcome import Outcome, repeat_command

    if scenario is not None and trial is not None:
        raise UsageError("--scenario and --trial are both given: give one of them")
    if form == "checkpoint" and output is None:
        raise UsageError("--format checkpoint writes a folder: say where with -o DIR")
    settings = Settings.from_environment()
    with open_store(settings) as store:
        outcome = Outcome.read(store, store.find_sweep(sweep).id)
        chosen, why = outcome.chosen(scenario=scenario or "balanced", trial=trial)
        origin = origin_of(store, chosen)
    if form == "checkpoint":
        assert output is not None
        config = nerfstudio_run(outcome.sweep, chosen, origin, output, settings=settings)
        console().print(f"{config.parent}: {why}", markup=False, soft_wrap=True)
        for command in ("ns-eval", "ns-viewer"):
            console().print(shlex.join([command, "--load-config", str(config)]), markup=False, soft_wrap=True)
        return
    if form == "command":
        text = repeat_command(outcome.sweep, chosen) + "\n"
    elif form == "nerfstudio":
        text = nerfstudio_config(outcome.sweep, chosen, origin, settings=settings)
    else:
        text = preset_yaml(outcome.sweep, chosen, origin, why=why)
    if output is None:
        print(text, end="")
        return
    write_whole(output, text.encode())
    console().print(f"{output}: {why}", markup=False, soft_wrap=True)
