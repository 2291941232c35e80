"""The commands of f3rm-sweeps, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from sweeps.cli import (
    check,
    claims,
    delete,
    demo,
    doctor,
    export,
    params,
    presets,
    results,
    serve,
    sweeps,
    train,
    winner,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Hyperparameter sweeps for F3RM: a radiance field and a CLIP feature field, trained together.\n\n"
        "Commands read and change the store that F3RM_STORE_URL or F3RM_DATA_DIR name. What needs a process that "
        "goes on (submit, resume) asks the running service: --server, F3RM_SERVER, or the one of this data folder.\n\n"
        "Exit codes: 0 done, 1 the work failed, 2 wrong use. --debug anywhere shows a traceback."
    ),
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("f3rm-sweeps"))
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Nothing beside: the option's own callback comes before a command is missed."""


_START, _SWEEPS, _RESULTS, _CONFIGURATIONS = "Start here", "Sweeps", "Results", "Configurations"
app.command(rich_help_panel=_START)(demo.demo)
app.command(rich_help_panel=_START)(serve.serve)
app.command(rich_help_panel=_START)(doctor.doctor)
app.command(rich_help_panel=_SWEEPS)(sweeps.submit)
app.command("list", rich_help_panel=_SWEEPS)(sweeps.list_sweeps)
app.command(rich_help_panel=_SWEEPS)(sweeps.show)
app.command(rich_help_panel=_SWEEPS)(sweeps.watch)
app.command(rich_help_panel=_SWEEPS)(sweeps.cancel)
app.command(rich_help_panel=_SWEEPS)(sweeps.resume)
app.command(rich_help_panel=_SWEEPS)(delete.delete)
app.command(rich_help_panel=_RESULTS)(results.pareto)
app.command(rich_help_panel=_RESULTS)(winner.winner)
app.command(rich_help_panel=_RESULTS)(winner.importance)
app.command(rich_help_panel=_RESULTS)(results.hypervolume)
app.command(rich_help_panel=_RESULTS)(export.export)
app.command(rich_help_panel=_RESULTS)(claims.claims)
app.command(rich_help_panel=_CONFIGURATIONS)(params.params)
app.add_typer(presets.app, name="presets", rich_help_panel=_CONFIGURATIONS)
app.command(rich_help_panel=_CONFIGURATIONS)(check.check)
app.command(rich_help_panel=_CONFIGURATIONS)(train.train)
