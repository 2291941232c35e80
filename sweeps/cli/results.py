"""pareto, hypervolume: the front of a sweep and how it grew, as a table and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from f3rm_core import METRICS, UsageError
from sweeps.analysis.units import in_units
from sweeps.cli.output import assignments, console, duration, is_narrow, number, print_json, table
from sweeps.cli.store import open_store
from sweeps.cli.sweeps import Json, SweepWords
from sweeps.errors import NoResults
from sweeps.views import front_view, hypervolume_view

if TYPE_CHECKING:
    from sweeps.analysis.scenarios import Winner
    from sweeps.outcome import Outcome

PLOT_SUFFIXES = (".png", ".svg")


def pareto(
    sweep: SweepWords,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the front: .png or .svg.")] = None,
    scenario: Annotated[str, typer.Option(help="Mark the winner of this scenario.")] = "balanced",
    as_json: Json = False,
) -> None:
    """Show the front: the completed trials that no other one beats in everything, and its knee.

    Example: f3rm-sweeps pareto k3f --plot front.png
    """
    from sweeps.outcome import Outcome

    _check_plot(plot)
    with open_store() as store:
        outcome = Outcome.read(store, store.find_sweep(sweep).id)
    winner: Winner | None = None
    try:
        winner = outcome.winner(scenario)
        reason = f"{scenario}: {winner.reason}"
    except NoResults as error:  # the front is still the front
        reason = str(error)
        if plot is not None:
            raise
    if plot is not None and winner is not None:
        plot_outcome(outcome, plot, winner)
    if as_json:
        print_json({**front_view(outcome), "winner": None if winner is None else _chosen(winner)})
        return
    if outcome.trials:
        print_front(outcome, None if winner is None else winner.number)
    console().print(reason, markup=False, soft_wrap=True)
    knee = outcome.knee()
    if knee is not None:
        said = f"knee: trial {knee.trial}: from there on, more of one objective costs more of the others"
        console().print(said, markup=False, soft_wrap=True)
    if plot is not None:
        console().print(f"plot: {plot}", markup=False)


def _chosen(winner: Winner) -> dict[str, Any]:
    return {
        "scenario": winner.scenario,
        "trial": winner.number,
        "reason": winner.reason,
        "scores": dict(winner.scores),
    }


def hypervolume(
    sweep: SweepWords,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it over the cost: .png or .svg.")] = None,
    as_json: Json = False,
) -> None:
    """Show how much of what can be had was found, over what it cost: the trials that added something.

    0 is nothing better than the reference points, 1 the ideal in every objective; both are fixed for each metric, so
    the figures of sweeps with the same objectives can be compared.

    Example: f3rm-sweeps hypervolume k3f --plot growth.png
    """
    from sweeps.outcome import Outcome

    _check_plot(plot)
    with open_store() as store:
        outcome = Outcome.read(store, store.find_sweep(sweep).id)
    if plot is not None:
        from sweeps.analysis.growth_plot import plot_growth

        plot_growth(plot, title=f"{outcome.sweep.name} ({outcome.sweep.id})", history=outcome.growth())
    if as_json:
        print_json(hypervolume_view(outcome))
        return
    _print_growth(outcome)
    if plot is not None:
        console().print(f"plot: {plot}", markup=False)


def _print_growth(outcome: Outcome) -> None:
    history = outcome.growth()
    objectives = [metric.name for metric in outcome.objectives]
    columns = ["trial", "cost", "hypervolume", "gained", *objectives]
    shown = table(None, columns, right=columns)
    for point in history:
        if point.gained > 0:
            metrics = outcome.trials[point.trial].metrics
            row = [str(point.trial), duration(point.seconds), f"{point.hypervolume:.4f}", f"+{point.gained:.4f}"]
            shown.add_row(*row, *[number(metrics[name]) for name in objectives])
    console().print(shown)
    total, seconds = (history[-1].hypervolume, history[-1].seconds) if history else (0.0, 0.0)
    trials = len({point.trial for point in history})
    console().print(f"hypervolume {total:.4f} after {trials} trials and {duration(seconds)} of training")
    scales = "; ".join(
        f"{m.name} from {in_units(m, m.reference)} to {in_units(m, m.ideal)}"
        + (" (logarithmic)" if m.scale == "log" else "")
        for m in outcome.objectives
    )
    console().print(f"0 to 1: {scales}", markup=False, soft_wrap=True)


def _check_plot(plot: Path | None) -> None:
    if plot is not None and plot.suffix.lower() not in PLOT_SUFFIXES:
        raise UsageError(f"plot {plot}: give a name that ends in {' or '.join(PLOT_SUFFIXES)}")


def plot_outcome(outcome: Outcome, file: Path, winner: Winner) -> None:
    """Draw the front of a sweep.

    Raises:
        UsageError: the file can't be written.
    """
    from sweeps.analysis.report import plot_front

    plot_front(
        file,
        title=f"{outcome.sweep.name} ({outcome.sweep.id})",
        objectives=outcome.objectives,
        results=outcome.results,
        winner=winner.number,
        scenario=winner.scenario,
        infeasible=outcome.results.keys() - outcome.feasible_results.keys(),
    )


def print_front(outcome: Outcome, winner: int | None) -> None:
    """The front as a table, the winner, if there is one, marked; then how many other trials there are."""
    objectives = [metric.name for metric in outcome.objectives]
    also = (
        []
        if is_narrow()
        else [name for name in ("psnr", "feature_gain", "train_seconds", "peak_memory_gb") if name not in objectives]
    )
    heads = [f"{metric.name} {_arrow(metric.direction)}" for metric in outcome.objectives]
    shown = table(None, ["", "trial", *heads, *also, "parameters"], right=["trial", *heads, *also])
    points = outcome.points()
    for point in points:
        if point.on_front or point.trial == winner:
            shown.add_row(
                "*" if point.trial == winner else "",
                str(point.trial),
                *[number(point.metrics.get(name)) for name in [*objectives, *also]],
                assignments(outcome.trials[point.trial].parameters),
                style="bold" if point.trial == winner else None,
            )
    console().print(shown)
    on_front = [outcome.trials[point.trial].parameters for point in points if point.on_front]
    configurations = sum(parameters not in on_front[:place] for place, parameters in enumerate(on_front))
    counted = str(len(on_front))
    if configurations < len(on_front):
        counted += f" trials ({configurations} configuration{'s' if configurations > 1 else ''})"
    beyond = sum(not point.feasible for point in points)
    behind = f"{len(points) - len(on_front) - beyond} completed trials behind it"
    if beyond:
        behind += f", {beyond} beyond a constraint"
    wins = "" if winner is None else "; * wins"
    if winner is not None and not any(point.on_front for point in points if point.trial == winner):
        wins += ", though not on it: means over seeds decide, or a metric that is no objective"
    units = ", ".join(f"{name} in {METRICS[name].unit}" for name in [*objectives, *also] if METRICS[name].unit != "1")
    console().print(f"{counted} on the front, {behind}{wins}; {units}", soft_wrap=True)


def _arrow(direction: str) -> str:
    return "↑" if direction == "maximize" else "↓"
