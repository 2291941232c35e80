"""What a sweep found: /pareto, /hypervolume, /importance, /winner, /claims and /export below /api/v1/sweeps/{id}."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, Response

from service.dependencies import Exporter, Store, SweepId
from service.errors import ProblemError, problem_docs
from service.sweeps.claims import Claims
from service.sweeps.result_schemas import Front, Hypervolume, Importances, WinnerAnswer, Winners
from service.sweeps.schemas import trial_summary
from sweeps.analysis.claims import claims_report
from sweeps.analysis.export import preset_yaml
from sweeps.analysis.provenance import origin_of
from sweeps.analysis.scenarios import SCENARIOS, Winner
from sweeps.outcome import Outcome, repeat_command
from sweeps.views import claims_view, front_view, hypervolume_view, importance_view, winner_view

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["results"])

Scenario = Annotated[str, Query(description=f"Who wins: {', '.join(SCENARIOS)}.", examples=list(SCENARIOS))]


@router.get("/pareto", summary="The front", response_model=Front, responses=problem_docs(404))
def pareto(sweep_id: SweepId, store: Store) -> Front:
    """All completed trials with the mark of the Pareto front, its knee point and its hypervolume. Empty while none has
    completed."""
    return Front(**front_view(Outcome.read(store, sweep_id)))


@router.get("/hypervolume", summary="The hypervolume", response_model=Hypervolume, responses=problem_docs(404))
def hypervolume(sweep_id: SweepId, store: Store) -> Hypervolume:
    """How much of what can be had was found, over what it cost. Each objective counts from its metric's fixed reference
    point to its ideal, so sweeps with the same objectives can be compared."""
    return Hypervolume(**hypervolume_view(Outcome.read(store, sweep_id)))


@router.get(
    "/importance", summary="Importance of parameters", response_model=Importances, responses=problem_docs(404, 409)
)
def importance(sweep_id: SweepId, store: Store) -> Importances:
    """Which parameters tell the best quarter of the trials from all, for each objective (PED-ANOVA), and what chance
    alone would give. Trials beyond a constraint don't count; with fewer than 20 there is none, and `note` says so. 409
    for an ablation."""
    return Importances(**importance_view(Outcome.read(store, sweep_id)))


@router.get("/winner", summary="The winner", response_model=WinnerAnswer, responses=problem_docs(404, 409, 422))
def winner(sweep_id: SweepId, store: Store, scenario: Scenario = "balanced") -> WinnerAnswer:
    """The trial that wins a scenario, and why; where configurations ran under several seeds, whether its lead is more
    than noise. 409 while no trial has completed, keeps the constraints, and has what the scenario looks at."""
    outcome = Outcome.read(store, sweep_id)
    return _answer(outcome, outcome.winner(scenario))


@router.get(
    "/winners", summary="The winners of all scenarios", response_model=Winners, responses=problem_docs(404, 409)
)
def winners(sweep_id: SweepId, store: Store) -> Winners:
    """What /winner says of each scenario, at once. 409 while no trial has completed and keeps the constraints."""
    outcome = Outcome.read(store, sweep_id)
    found, without = outcome.winners()
    answers = [_answer(outcome, won) for won in found]
    return Winners(sweep_id=sweep_id, winners=answers, without_winner=without)


@router.get("/claims", summary="The guide's claims", response_model=Claims, responses=problem_docs(404, 409))
def claims(sweep_id: SweepId, store: Store) -> Claims:
    """What an ablation says of the claims that it asks about: the measured effect, its 95% interval over seeds, and a
    verdict. 409 for a search."""
    return Claims(**claims_view(claims_report(store.get_sweep(sweep_id), store.all_trials(sweep_id))))


@router.get(
    "/export",
    summary="A trial to use",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "The preset or nerfstudio config as YAML, or the command as text.",
            "content": {"application/yaml": {"schema": {"type": "string"}}, "text/plain": {}},
        },
        **problem_docs(404, 409, 422, 503),
    },
)
def export(
    sweep_id: SweepId,
    store: Store,
    exporter: Exporter,
    scenario: Annotated[
        str | None, Query(description="Its winner (default: balanced); not together with trial.")
    ] = None,
    trial: Annotated[int | None, Query(ge=0, description="This completed trial.")] = None,
    form: Annotated[
        Literal["preset", "nerfstudio", "command", "checkpoint"],
        Query(alias="format", description="A preset, a config for ns-train, or a command line."),
    ] = "preset",
) -> Response:
    """The configuration of a trial as a preset (for `f3rm-sweeps train --preset`), as a nerfstudio config (for
    `ns-train f3rm --load-config`; takes seconds), or as a command. A `checkpoint` is refused: its run folder may hold
    gigabytes, and names the folders of the machine that opens it, so the command line writes it there."""
    if scenario is not None and trial is not None:
        raise ProblemError(422, "invalid-request", "scenario and trial are both given: give one of them")
    outcome = Outcome.read(store, sweep_id)
    chosen, why = outcome.chosen(scenario=scenario or "balanced", trial=trial)
    if form == "checkpoint":
        command = f"f3rm-sweeps export {sweep_id} --trial {chosen.number} --format checkpoint -o DIR"
        detail = f"format=checkpoint: not over HTTP; where the run folder is to be, run `{command}`"
        raise ProblemError(422, "checkpoint-by-command", detail)
    if form == "command":
        return PlainTextResponse(repeat_command(outcome.sweep, chosen) + "\n")
    name = f"{outcome.sweep.name}-trial-{chosen.number}"
    if form == "nerfstudio":
        return _yaml(exporter.export(sweep_id, chosen.number), f"{name}-config.yml")
    return _yaml(preset_yaml(outcome.sweep, chosen, origin_of(store, chosen), why=why), f"{name}.yaml")


def _answer(outcome: Outcome, won: Winner) -> WinnerAnswer:
    return WinnerAnswer(**{**winner_view(outcome, won), "trial": trial_summary(outcome.trials[won.number])})


def _yaml(text: str, file_name: str) -> Response:
    return Response(
        text,
        media_type="application/yaml",
        headers={"Content-Disposition": f'inline; filename="{file_name}"'},
    )
