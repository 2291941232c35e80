"""claims: what an ablation says of the guide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from f3rm_core import UsageError, value_text
from sweeps.cli.output import assignments, console, plain, print_json, table
from sweeps.cli.results import PLOT_SUFFIXES
from sweeps.cli.store import open_store
from sweeps.cli.sweeps import Json
from sweeps.views import claim_view, claims_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sweeps.analysis.claims import ClaimsReport, Judged
    from sweeps.analysis.effects import Effect

_STYLES = {
    "confirmed": "green",
    "contradicted": "bold red",
    "inconclusive": "yellow",
    "no data": "dim",
    "out of reach": "dim",
}
_HEADS = ("claim", "the guide says", "metric", "base", "arm", "effect [95% interval]", "verdict", "note")


def claims(
    sweep: Annotated[
        str | None, typer.Argument(metavar="ID", help="The sweep's id, its name, or how its id begins.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the intervals: .png or .svg.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Show what an ablation says of the guide's claims: the measured effect, its interval, a verdict.

    An ablation is a sweep of `kind: ablation`; benchmarks/claims.yaml asks for all claims. Without ID: the claims.

    Example: f3rm-sweeps claims guide-claims --plot claims.png
    """
    if sweep is None:
        if plot is not None or markdown:
            raise UsageError("--plot and --markdown show what a sweep measured: give its id")
        _list(as_json)
        return
    from sweeps.analysis.claims import claims_report

    if plot is not None and plot.suffix not in PLOT_SUFFIXES:
        raise UsageError(f"plot {plot}: give a name that ends in {' or '.join(PLOT_SUFFIXES)}")
    if markdown and as_json:
        raise UsageError("--markdown and --json are both given: give one of them")
    with open_store() as store:
        record = store.find_sweep(sweep)
        report = claims_report(record, store.all_trials(record.id))
    if plot is not None:
        from sweeps.analysis.claims_plot import plot_claims

        plot_claims(plot, report)
    if as_json:
        print_json(claims_view(report))
    elif markdown:
        print("\n".join(markdown_lines(report)))
    else:
        _print(report)
        if plot is not None:
            console().print(f"plot: {plot}", markup=False)


def _list(as_json: bool) -> None:
    """The claims themselves."""
    from sweeps.spec.claim_table import CLAIMS, change_of

    if as_json:
        print_json([claim_view(claim) for claim in CLAIMS.values()])
        return
    shown = table(None, ("claim", "the guide says", "metric", "what is changed, at the documented defaults"))
    for claim in CLAIMS.values():
        change = assignments(change_of(claim.arm)) if claim.arm else f"out of reach: {plain(claim.out_of_reach)}"
        shown.add_row(claim.id, claim.says, claim.metric or "-", change)
    console().print(shown)


def markdown_lines(report: ClaimsReport) -> list[str]:
    """The report as Markdown tables: the arms, the claims that were measured, those that were not."""
    lines = ["| arm | values over the base's |", "|---|---|"]
    lines += [f"| {arm} | {_values(values)} |" for arm, values in report.arms.items() if values]
    measured = [one for one in report.judged if one.verdict != "out of reach"]
    lines += ["", f"| {' | '.join(_HEADS)} |", "|---" * len(_HEADS) + "|"]
    lines += [f"| {' | '.join(_row(one, bold='**'))} |" for one in measured]
    if len(measured) < len(report.judged):
        lines += ["", "| claim | the guide says | why it was not measured |", "|---|---|---|"]
        lines += [f"| {one.claim.id} | {one.claim.says} | {one.note} |" for one in report.judged if one not in measured]
    return lines


def _print(report: ClaimsReport) -> None:
    out = console()
    shown = table(None, _HEADS, right=("base", "arm"))
    for one in report.judged:
        row = [plain(cell) for cell in _row(one)]
        shown.add_row(*row[:6], f"[{_STYLES[one.verdict]}]{row[6]}[/]", row[7])
    if report.judged:
        out.print(shown)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items() if count)
        out.print(f"{len(report.judged)} claims: {counts}")
    if report.others:
        own = table("arms of your own", ("arm", "metric", "base", "arm's", "difference [95% interval]"))
        for other in report.others:
            effect = other.effect
            cells = (
                other.arm,
                other.metric,
                f"{effect.base:.4g}",
                f"{effect.arm:.4g}",
                _interval(effect, "difference"),
            )
            own.add_row(*map(plain, cells))
        out.print(own)
    if report.not_asked:
        out.print(f"not asked in this ablation: {', '.join(report.not_asked)}", markup=False)


def _row(one: Judged, bold: str = "") -> Sequence[str]:
    effect, claim = one.effect, one.claim
    verdict = f"{bold}{one.verdict}{bold}" if one.verdict == "contradicted" else one.verdict
    if one.fit is not None and claim.size is not None:
        verdict += f"; size {one.fit} ({_number(claim.size.stated, claim.measure)})"
    if effect is None:
        return claim.id, claim.says, claim.metric or "-", "-", "-", "-", verdict, one.note
    values = (f"{effect.base:.4g}", f"{effect.arm:.4g}", _interval(effect, claim.measure))
    return claim.id, claim.says, claim.metric, *values, verdict, one.note


def _interval(effect: Effect, measure: str) -> str:
    middle, low, high = (_number(value, measure) for value in (effect.value, effect.low, effect.high))
    return f"{middle} [{low}, {high}]"


def _number(value: float, measure: str) -> str:
    return f"x{value:.3g}" if measure == "ratio" else f"{value:+.2g}" if abs(value) < 0.1 else f"{value:+.2f}"


def _values(values: object) -> str:
    assert isinstance(values, dict)
    return ", ".join(f"`{name}` {value_text(value)}" for name, value in values.items())
