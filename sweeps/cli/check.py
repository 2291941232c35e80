"""check: what the rules say of a preset or a sweep, before a trial starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.exits import PROGRAM, WRONG_USE
from sweeps.cli.output import console, parameter, plain, print_json
from sweeps.cli.store import open_store
from sweeps.cli.sweeps import Json
from sweeps.errors import InvalidSpec
from sweeps.settings import Settings
from sweeps.views import checked_view

if TYPE_CHECKING:
    from sweeps.spec.check import Checked, Kind
    from sweeps.spec.memory import Memory

_SHOWN_SHARE = 0.01
"""Parts smaller than this are left to --json."""
_STYLES = {"error": "bold red", "warning": "yellow"}


def check(
    what: Annotated[str, typer.Argument(metavar="PRESET|FILE", help="A preset's name, its file, or a sweep's file.")],
    gpu_memory_gb: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Memory of a GPU that it must fit, GB, which also tells how many of a sweep's trials would share it; "
            "without, that of this machine is shown.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a preset, or the whole space of a sweep, against the rules, and predict its peak memory; train nothing.

    A space is looked at in 512 configurations drawn from it, the same each time, and its memory in 64 of them. A
    preset's memory is that on a typical scene: 100 images of 1280x720. A sweep that this machine can't run, and options
    of one that have no effect, are warned of. Exit code 0 if it is fine or has warnings only,
    2 if a sweep of it would be refused.

    Examples: f3rm-sweeps check high_quality --gpu-memory-gb 12 · f3rm-sweeps check my-sweep.yaml
    """
    try:
        checked = _check(what, gpu_memory_gb)
    except InvalidSpec as error:
        _tell_faults(error, as_json=as_json)
        raise typer.Exit(WRONG_USE) from None
    if as_json:
        print_json(checked_view(checked))
    else:
        _print(checked)
    if not checked.ok:
        raise typer.Exit(WRONG_USE)


def _tell_faults(error: InvalidSpec, *, as_json: bool) -> None:
    """All of them, a line each: who checks a file wants to mend it at once."""
    if as_json:
        faults = [{"field": fault.field, "line": fault.line, "message": str(fault)} for fault in error.issues]
        print_json({"ok": False, "errors": faults})
        return
    for fault in error.issues:
        typer.echo(f"{PROGRAM}: {error.where + ': ' if error.where else ''}{fault}", err=True)


def _check(what: str, gpu_memory_gb: float | None) -> Checked:
    from sweeps.spec.check import check_preset, check_sweep, is_sweep
    from sweeps.spec.documents import lines_named, parse_document, read_text
    from sweeps.spec.presets import is_file, load_preset
    from sweeps.spec.sweep import check_spec, parse_spec

    if not is_file(what):
        return check_preset(load_preset(what), gpu_memory_gb=gpu_memory_gb)
    text = read_text(Path(what), where=what)
    document = parse_document(text, where=what)
    if not is_sweep(document):
        return check_preset(load_preset(what), gpu_memory_gb=gpu_memory_gb)
    settings = Settings.from_environment()
    with lines_named(text, where=what):
        plan = check_spec(parse_spec(document), scene_root=settings.scene_root)
        if plan.spec.search.warm_start.sweeps:
            with open_store(settings) as store:
                store.check_earlier(plan.spec)
        return check_sweep(plan, gpu_memory_gb=gpu_memory_gb, runs_here=settings.ray_address is None)


def _print(checked: Checked) -> None:
    from sweeps.spec.check import share_text

    out = console()
    of_space = checked.kind != "configuration"
    whole = "arms" if checked.kind == "arms" else "space"
    for finding in checked.findings:
        style, values = _STYLES[finding.severity], finding.parameters.items()
        share = f"  {share_text(finding.share)} of the {whole}" if of_space else ""
        allowed = "  (allowed)" if finding.allowed else ""
        out.print(f"[{style}]{finding.severity}[/]  [bold]{finding.rule}[/]{share}{allowed}")
        shown = ", ".join(f"{name}={parameter(value)}" for name, value in values)
        for line in (f"such as {shown}" if of_space else shown, finding.message, finding.remedy):
            out.print(f"    {line}", markup=False, soft_wrap=True)
    for warning in checked.warnings:
        out.print(f"[{_STYLES['warning']}]warning[/]  {plain(warning)}", soft_wrap=True)
    if checked.memory is not None:
        _print_memory(checked.memory, checked.kind)
    if checked.sharing is not None:
        out.print(f"    {checked.sharing.reason}", markup=False, soft_wrap=True)
    errors = sum(finding.refuses for finding in checked.findings)
    warnings = sum(finding.severity == "warning" for finding in checked.findings) + len(checked.warnings)
    drawn = {"configuration": "", "space": f", {checked.samples} configurations drawn", "arms": f": {checked.samples}"}
    verdict = f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
    if errors and of_space:
        remedy = "leave them out" if checked.kind == "arms" else "narrow it"
        verdict += f"; {share_text(checked.forbidden)} of the {whole} forbidden: {remedy}, or allow the rules by id"
    out.print(f"{checked.name} ({checked.kind}{drawn[checked.kind]}): {verdict}", markup=False, soft_wrap=True)


def _print_memory(memory: Memory, kind_checked: Kind) -> None:
    from sweeps.spec.check import MEMORY_SAMPLES, share_text

    largest = memory.largest
    looked_at = {"configuration": "", "space": f"largest of {MEMORY_SAMPLES} drawn, ", "arms": "largest of the arms, "}
    kind = "predicted" if largest.measured else "predicted, not measured"
    out = console()
    place = f"{looked_at[kind_checked]}{kind}: {largest.device}, {largest.backend}"
    out.print(
        f"peak memory {largest.total_bytes / 1e9:.2f} GB ({place}), in the {largest.phase}",
        markup=False,
        soft_wrap=True,
    )
    for name, size in largest.parts.items():
        if size >= _SHOWN_SHARE * largest.total_bytes:
            out.print(f"    {size / 1e9:6.2f}  {name}", markup=False)
    if largest.mapped_bytes:
        out.print(
            f"    {largest.mapped_bytes / 1e9:6.2f}  images and feature maps, mapped: not in the peak", markup=False
        )
    if kind_checked != "configuration" and memory.limit_gb is not None:
        out.print(f"    {share_text(memory.share_over)} over {memory.limit_gb:g} GB", markup=False)
