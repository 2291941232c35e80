"""Commands on presets: list, show and suggest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from f3rm_core import value_text, write_whole
from sweeps.cli.output import console, parameter, plain, print_json, table
from sweeps.cli.sweeps import Json
from sweeps.views import preset_view, suggestion_view

app = typer.Typer(no_args_is_help=True, help="Presets: named sets of parameters.")


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List the presets that ship with the package.

    Example: f3rm-sweeps presets list
    """
    from sweeps.spec.presets import list_presets, load_preset

    presets = [load_preset(name) for name in list_presets()]
    if as_json:
        print_json([preset_view(preset) for preset in presets])
        return
    shown = table(None, ["name", "base", "summary", "expect"])
    for preset in presets:
        shown.add_row(preset.name, preset.base or "-", preset.summary, preset.trade_off)
    console().print(shown)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="PRESET", help="A preset's name, or a file.")],
    as_json: Json = False,
) -> None:
    """Show every parameter of a preset; * marks what it sets itself.

    Example: f3rm-sweeps presets show demo_cpu
    """
    from sweeps.spec.presets import load_preset

    preset = load_preset(name)
    if as_json:
        print_json(preset_view(preset, values=True))
        return
    console().print(f"[bold]{plain(preset.name)}[/]  (base {plain(preset.base or 'none')})  {plain(preset.summary)}")
    if preset.trade_off:
        console().print(preset.trade_off, markup=False)
    shown = table(None, ["", "parameter", "value"])
    for key, value in preset.resolved.items():
        own_value = key in preset.parameters
        shown.add_row("*" if own_value else "", key, plain(parameter(value)), style="bold" if own_value else None)
    console().print(shown)


@app.command()
def suggest(
    *,
    scene_complexity: Annotated[
        str, typer.Option(metavar="simple|complex|very_complex", help="One object; several; outdoors or fine detail.")
    ],
    gpu_memory_gb: Annotated[float, typer.Option(metavar="N", help="Memory of one GPU, GB.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it as a preset.")] = None,
    as_json: Json = False,
) -> None:
    """Suggest a preset to start from: what the scene needs, up to what the GPU holds.

    Example: f3rm-sweeps presets suggest --scene-complexity complex --gpu-memory-gb 12 -o start.yaml
    """
    from sweeps.spec.suggest import suggest as suggest_preset

    suggested = suggest_preset(scene_complexity, gpu_memory_gb)
    if output is not None:
        write_whole(output, suggested.yaml().encode())
    if as_json:
        print_json(suggestion_view(suggested))
        return
    console().print(f"{suggested.preset.summary} {suggested.preset.trade_off}", markup=False)
    shown = table(None, ["parameter", "value", "rule", "why"])
    for reason in suggested.reasons:
        shown.add_row(reason.parameter, value_text(reason.value), reason.rule, reason.why)
    console().print(shown)
    if output is not None:
        console().print(f"{output}: f3rm-sweeps train --preset {output} --scene DIR", markup=False)
    else:
        console().print("everything else as in f3rm_default; -o FILE writes it as a preset")
