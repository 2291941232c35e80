"""train: one training run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from f3rm_core import (
    METRICS,
    PARAMETERS,
    UsageError,
    check_parameters,
    check_scored,
    check_weight_file,
    load_scene,
    write_whole,
)
from sweeps.cli.output import assignments, console, duration, number, plain, print_json, table
from sweeps.cli.output_folder import make_output_folder
from sweeps.cli.sweeps import Json
from sweeps.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from f3rm_core import Report, TrainResult

LINE_SECONDS = 10.0


def train(
    *,
    preset: Annotated[str, typer.Option(metavar="P", help="A preset's name, or a file.")],
    scene: Annotated[str, typer.Option(metavar="DIR", help="A folder in nerfstudio format, or embedded:NAME.")],
    assigned: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter; may be given again.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; 0: one for each core.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Leave pictures, a checkpoint and metrics.json there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train one configuration and measure it on held-out views.

    Example: f3rm-sweeps train --preset demo_cpu --scene embedded:tabletop --set max_res=512 --output out/one
    """
    from sweeps.spec.presets import load_preset, overlay

    named = (("seed", seed), ("threads", threads), ("max_num_iterations", steps))
    given = parse_assignments(assigned or ()) | {name: value for name, value in named if value is not None}
    parameters = overlay(load_preset(preset).resolved, given)
    # Everything that can be told cheaply is told before torch is loaded.
    checked = check_parameters(parameters)
    check_weight_file(checked)
    place = load_scene(scene, scene_root=Settings.from_environment().scene_root)
    check_scored(place, checked["train_split_fraction"], checked["camera_res_scale_factor"])
    if output is not None:
        make_output_folder(output)

    with _progress(quiet=as_json) as on_report:
        result = _train(parameters, place, output, on_report)
    if output is not None:
        write_whole(output / "metrics.json", f"{json.dumps(_view(result, parameters), indent=2)}\n".encode())
    if as_json:
        print_json(_view(result, parameters))
        return
    _print_result(result, place.location, output)


def parse_assignments(words: Sequence[str]) -> dict[str, Any]:
    """Parameters from `name=value` words; values are read as in a YAML preset.

    Raises:
        UsageError: a word is no assignment, or its value no YAML.
    """
    from sweeps.spec.documents import no_such_parameter, parse_document

    parameters: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not text.strip():
            raise UsageError(f"--set {word!r}: give NAME=VALUE, such as --set max_res=512")
        if name not in PARAMETERS:
            raise UsageError(f"--set {word!r}: {no_such_parameter(name)}")
        parameters[name] = parse_document(f"{name}: {text}", where=f"--set {word!r}")[name]
    return parameters


def _train(
    parameters: Mapping[str, Any], scene: Any, output: Path | None, on_report: Callable[[Report], None]
) -> TrainResult:
    from f3rm_core import build_config, prepare_scene
    from f3rm_core import train as train_once

    config = build_config(parameters)
    prepare_scene(config, scene)
    return train_once(
        config,
        scene,
        budget_steps=config.max_num_iterations,
        on_report=on_report,
        checkpoint_dir=output / "checkpoints" if output else None,
        pictures_dir=output,
        threads=config.threads or None,
    )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Report], None]]:
    """A bar in a terminal, a line every ten seconds elsewhere, on stderr where JSON goes to stdout."""
    if quiet:
        yield lambda report: None
        return
    if not console().is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
    ]
    with Progress(*columns, TimeRemainingColumn(), console=console()) as bar:
        task = bar.add_task("training", total=None, loss="-")
        yield lambda report: bar.update(task, completed=report.step, total=report.total_steps, loss=number(report.loss))


def _lines() -> Callable[[Report], None]:
    last = -LINE_SECONDS

    def line(report: Report) -> None:
        nonlocal last
        if report.seconds - last >= LINE_SECONDS or report.step == report.total_steps:
            last = report.seconds
            console().print(
                f"step {report.step}/{report.total_steps}  loss {number(report.loss)}  {duration(report.seconds)}"
            )

    return line


def _print_result(result: TrainResult, scene: str, output: Path | None) -> None:
    shown = table(None, ["metric", "value", "unit", ""], right=["value"])
    for name, value in result.metrics.items():
        metric = METRICS.get(name)
        shown.add_row(name, number(value), metric.unit if metric else "", metric.description if metric else "")
    out = console()
    out.print(shown)
    facts = {"steps": result.steps, "seed": result.seed, "encoding": result.backend, "device": result.device}
    out.print(
        f"{plain(scene)}  {assignments({**facts, 'threads': result.threads})}  {duration(result.seconds)} of training"
    )
    if output is not None:
        out.print(f"left in {output}: {', '.join(sorted(path.name for path in output.iterdir()))}", markup=False)


def _view(result: TrainResult, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metrics": dict(result.metrics),
        "steps": result.steps,
        "seed": result.seed,
        "threads": result.threads,
        "backend": result.backend,
        "device": result.device,
        "table_optimizer": result.table_optimizer,
        "seconds": result.seconds,
        "peak_memory_bytes": result.peak_memory_bytes,
        "checkpoint": str(result.checkpoint) if result.checkpoint else None,
        "pictures": {name: str(path) for name, path in result.pictures.items()},
        "parameters": dict(parameters),
    }
