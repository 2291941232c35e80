"""check: what the rules say of a preset or a sweep, before a trial starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.exits import WRONG_USE
from sweeps.cli.output import console, parameter, print_json
from sweeps.cli.sweeps import Json
from sweeps.settings import Settings
from sweeps.views import checked_view

if TYPE_CHECKING:
    from sweeps.spec.check import Checked

_STYLES = {"error": "bold red", "warning": "yellow"}


def check(
    what: Annotated[str, typer.Argument(metavar="PRESET|FILE", help="A preset's name, its file, or a sweep's file.")],
    as_json: Json = False,
) -> None:
    """Check a preset, or the whole space of a sweep, against the rules; train nothing.

    A space is looked at in 512 configurations drawn from it, the same each time. Exit code 0 if it is fine or has
    warnings only, 2 if a sweep of it would be refused.

    Examples: f3rm-sweeps check high_quality · f3rm-sweeps check my-sweep.yaml
    """
    checked = _check(what)
    if as_json:
        print_json(checked_view(checked))
    else:
        _print(checked)
    if not checked.ok:
        raise typer.Exit(WRONG_USE)


def _check(what: str) -> Checked:
    from sweeps.spec.check import check_plan, check_preset, is_sweep
    from sweeps.spec.documents import lines_named, parse_document, read_text
    from sweeps.spec.presets import is_file, load_preset
    from sweeps.spec.sweep import check_spec, parse_spec

    if not is_file(what):
        return check_preset(load_preset(what))
    text = read_text(Path(what), where=what)
    document = parse_document(text, where=what)
    if not is_sweep(document):
        return check_preset(load_preset(what))
    with lines_named(text, where=what):
        return check_plan(check_spec(parse_spec(document), scene_root=Settings.from_environment().scene_root))


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
    errors = sum(finding.refuses for finding in checked.findings)
    warnings = sum(finding.severity == "warning" for finding in checked.findings)
    drawn = {"configuration": "", "space": f", {checked.samples} configurations drawn", "arms": f": {checked.samples}"}
    verdict = f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
    if errors and of_space:
        remedy = "leave them out" if checked.kind == "arms" else "narrow it"
        verdict += f"; {share_text(checked.forbidden)} of the {whole} forbidden: {remedy}, or allow the rules by id"
    out.print(f"{checked.name} ({checked.kind}{drawn[checked.kind]}): {verdict}", markup=False, soft_wrap=True)
