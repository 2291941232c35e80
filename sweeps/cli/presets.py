"""Commands on presets: list and show."""

from __future__ import annotations

from typing import Annotated

import typer

from sweeps.cli.output import console, parameter, print_json, table
from sweeps.cli.sweeps import Json

app = typer.Typer(no_args_is_help=True, help="Presets: named sets of parameters.")


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """List the presets that ship with the package.

    Example: f3rm-sweeps presets list
    """
    from sweeps.spec.presets import list_presets, load_preset

    presets = [load_preset(name) for name in list_presets()]
    if as_json:
        print_json([{"name": preset.name, "base": preset.base, "summary": preset.summary} for preset in presets])
        return
    shown = table(None, ["name", "base", "summary"])
    for preset in presets:
        shown.add_row(preset.name, preset.base or "-", preset.summary)
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
        own, resolved = dict(preset.parameters), dict(preset.resolved)
        described = {"name": preset.name, "base": preset.base, "summary": preset.summary}
        print_json({**described, "parameters": own, "resolved": resolved})
        return
    console().print(f"[bold]{preset.name}[/]  (base {preset.base or 'none'})  {preset.summary}")
    shown = table(None, ["", "parameter", "value"])
    for key, value in preset.resolved.items():
        own_value = key in preset.parameters
        shown.add_row("*" if own_value else "", key, parameter(value), style="bold" if own_value else None)
    console().print(shown)
