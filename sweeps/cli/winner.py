"""winner, importance: who wins a sweep and why; which parameters decided it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.output import assignments, console, is_narrow, number, print_json, table
from sweeps.cli.store import open_store
from sweeps.cli.sweeps import Json, SweepWords
from sweeps.views import importance_view, winner_view, winners_view

if TYPE_CHECKING:
    from sweeps.analysis.scenarios import Winner
    from sweeps.outcome import Outcome

EVERY = "all"


def winner(
    sweep: SweepWords,
    scenario: Annotated[
        str, typer.Option(help="balanced, quick, quality, memory, language, or all of them.")
    ] = "balanced",
    as_json: Json = False,
) -> None:
    """Show which trial wins, and why. Where configurations ran under several seeds: whether its lead is beyond noise.

    Example: f3rm-sweeps winner k3f --scenario all
    """
    from sweeps.outcome import Outcome

    with open_store() as store:
        outcome = Outcome.read(store, store.find_sweep(sweep).id)
    if scenario != EVERY:
        won = outcome.winner(scenario)
        if as_json:
            print_json(winner_view(outcome, won))
        else:
            _print_winners(outcome, [won])
        return
    winners, without = outcome.winners()
    if as_json:
        print_json(winners_view(outcome, winners, without))
        return
    _print_winners(outcome, winners)
    for said in without.values():
        console().print(said, markup=False, soft_wrap=True)


def importance(sweep: SweepWords, as_json: Json = False) -> None:
    """Show which parameters decided how good trials were, for each objective and for coming near the front.

    A share is a parameter's part of what tells the best quarter of the trials from all (PED-ANOVA); beside it, what
    chance alone reaches in 1 of 20 cases. Shares that are not marked with * are no larger than that.

    Example: f3rm-sweeps importance k3f
    """
    from sweeps.outcome import Outcome

    with open_store() as store:
        outcome = Outcome.read(store, store.find_sweep(sweep).id)
    found = importance_view(outcome)
    if as_json:
        print_json(found)
        return
    if found["importance"]:
        targets = list(found["importance"])
        shown = table(None, ["parameter", *targets], right=targets)
        by_target = {target: {s["parameter"]: s for s in found["importance"][target]} for target in targets}
        for name in [share["parameter"] for share in found["importance"][targets[-1]]]:
            cells = [by_target[target][name] for target in targets]
            shown.add_row(name, *[_share(cell) for cell in cells])
        console().print(shown)
    note = f"{found['note']}."
    if found["importance"]:
        note += " In brackets: what chance alone reaches in 1 of 20 cases; * is beyond it."
    console().print(note, markup=False, soft_wrap=True)


def _share(cell: dict[str, float]) -> str:
    mark = "*" if cell["beyond_chance"] else " "
    return f"{cell['share']:.0%}{mark} ({cell['chance']:.0%})"


def _print_winners(outcome: Outcome, winners: list[Winner]) -> None:
    metrics = [metric.name for metric in outcome.objectives]
    metrics += [name for name in ("psnr", "feature_gain", "train_seconds", "peak_memory_gb") if name not in metrics]
    more = [] if is_narrow() else ["parameters"]
    shown = table(None, ["scenario", "trial", *metrics, *more], right=["trial", *metrics], whole=["scenario"])
    for won in winners:
        trial, values, seeds = outcome.trials[won.number], dict(outcome.trials[won.number].metrics), ""
        if won.repeats is not None and len(won.repeats.trials) > 1:
            values = {name: spread.mean for name, spread in won.repeats.spreads.items()}
            seeds = f" ({len(won.repeats.trials)} seeds)"
        cells = [number(values.get(name)) for name in metrics]
        shown.add_row(won.scenario, f"{won.number}{seeds}", *cells, *([assignments(trial.parameters)] if more else []))
    console().print(shown)
    for won in winners:
        console().print(f"{won.scenario}: {won.reason}", markup=False, soft_wrap=True)
