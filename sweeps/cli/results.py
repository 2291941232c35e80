"""pareto: the front of a sweep, as a table and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from f3rm_core import METRICS, UsageError
from sweeps.cli.output import assignments, console, number, print_json, table
from sweeps.cli.store import open_store
from sweeps.cli.sweeps import Json, SweepWords
from sweeps.views import front_view

if TYPE_CHECKING:
    from sweeps.outcome import Outcome

PLOT_SUFFIXES = (".png", ".svg")


def pareto(
    sweep: SweepWords,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the front: .png or .svg.")] = None,
    scenario: Annotated[str, typer.Option(help="Mark the winner of this scenario.")] = "balanced",
    as_json: Json = False,
) -> None:
    """Show the front: the completed trials that no other one beats in everything.

    Example: f3rm-sweeps pareto k3f --plot front.png
    """
    from sweeps.outcome import Outcome

    if plot is not None and plot.suffix not in PLOT_SUFFIXES:
        raise UsageError(f"plot {plot}: give a name that ends in {' or '.join(PLOT_SUFFIXES)}")
    with open_store() as store:
        outcome = Outcome.read(store, store.find_sweep(sweep).id)
    winner = outcome.winner(scenario)
    if plot is not None:
        plot_outcome(outcome, plot, winner.number)
    if as_json:
        chosen = {
            "scenario": scenario,
            "trial": winner.number,
            "reason": winner.reason,
            "scores": dict(winner.scores),
        }
        print_json({**front_view(outcome), "winner": chosen})
        return
    print_front(outcome, winner.number)
    console().print(f"{scenario}: {winner.reason}", markup=False, soft_wrap=True)
    if plot is not None:
        console().print(f"plot: {plot}", markup=False)


def plot_outcome(outcome: Outcome, file: Path, winner: int | None) -> None:
    """Draw the front of a sweep.

    Raises:
        OSError: the file can't be written.
    """
    from sweeps.analysis.report import plot_front

    title = f"{outcome.sweep.name} ({outcome.sweep.id})"
    plot_front(file, title=title, objectives=outcome.objectives, results=outcome.results, winner=winner)


def print_front(outcome: Outcome, winner: int) -> None:
    """The front as a table, the winner marked; then how many other trials there are."""
    objectives = [metric.name for metric in outcome.objectives]
    also = [name for name in ("psnr", "feature_gain", "train_seconds", "peak_memory_gb") if name not in objectives]
    heads = [f"{metric.name} {_arrow(metric.direction)}" for metric in outcome.objectives]
    shown = table(None, ["", "trial", *heads, *also, "parameters"], right=["trial", *heads, *also])
    points = outcome.points()
    for point in points:
        if point.on_front:
            shown.add_row(
                "*" if point.trial == winner else "",
                str(point.trial),
                *[number(point.metrics.get(name)) for name in [*objectives, *also]],
                assignments(outcome.trials[point.trial].parameters),
                style="bold" if point.trial == winner else None,
            )
    console().print(shown)
    beaten = sum(not point.on_front for point in points)
    units = ", ".join(f"{name} in {METRICS[name].unit}" for name in [*objectives, *also] if METRICS[name].unit != "1")
    console().print(f"{len(points) - beaten} on the front, {beaten} completed trials behind it; * wins; {units}")


def _arrow(direction: str) -> str:
    return "↑" if direction == "maximize" else "↓"
