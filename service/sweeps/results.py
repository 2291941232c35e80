"""What a sweep found: /pareto, /winner, /claims and /export below /api/v1/sweeps/{id}."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, Field

from service.dependencies import Exporter, Store, SweepId
from service.errors import ProblemError, problem_docs
from service.sweeps.claims import Claims
from service.sweeps.schemas import Objective, TrialSummary, trial_summary
from sweeps.analysis.claims import claims_report
from sweeps.analysis.export import preset_yaml
from sweeps.analysis.provenance import environment_of
from sweeps.outcome import Outcome, repeat_command
from sweeps.views import claims_view, front_view

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["results"])

Scenario = Annotated[str, Query(description="Who wins: `balanced`.", examples=["balanced"])]


class FrontPoint(BaseModel):
    """A completed trial among the others."""

    trial: int
    on_front: bool = Field(description="No trial is at least as good in all objectives and better in one.")
    metrics: dict[str, float]
    parameters: dict[str, object]


class Front(BaseModel):
    """The completed trials of a sweep, those on the front first."""

    sweep_id: str
    objectives: list[Objective]
    points: list[FrontPoint] = Field(description="The front first, best first objective first; then by number.")


class WinnerAnswer(BaseModel):
    """Which trial wins a scenario, and why."""

    sweep_id: str
    scenario: str
    reason: str = Field(description="Why this one, in words.")
    scores: dict[str, float] = Field(description="Objective -> 0 (worst on the front) to 1 (best on it).")
    trial: TrialSummary


@router.get("/pareto", summary="The front", response_model=Front, responses=problem_docs(404))
def pareto(sweep_id: SweepId, store: Store) -> Front:
    """All completed trials with the mark of the Pareto front. Empty while none has completed."""
    return Front(**front_view(Outcome.read(store, sweep_id)))


@router.get("/winner", summary="The winner", response_model=WinnerAnswer, responses=problem_docs(404, 409, 422))
def winner(sweep_id: SweepId, store: Store, scenario: Scenario = "balanced") -> WinnerAnswer:
    """The trial that wins a scenario, and why. 409 while no trial has completed."""
    outcome = Outcome.read(store, sweep_id)
    won = outcome.winner(scenario)
    return WinnerAnswer(
        sweep_id=sweep_id,
        scenario=scenario,
        reason=won.reason,
        scores=dict(won.scores),
        trial=trial_summary(outcome.trials[won.number]),
    )


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
    return _yaml(preset_yaml(outcome.sweep, chosen, environment_of(store, chosen), why=why), f"{name}.yaml")


def _yaml(text: str, file_name: str) -> Response:
    return Response(
        text,
        media_type="application/yaml",
        headers={"Content-Disposition": f'inline; filename="{file_name}"'},
    )
