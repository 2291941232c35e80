"""The resource /api/v1/sweeps: ask for a sweep, look at it, cancel, resume and delete it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import FileResponse

from service.body import body_text
from service.dependencies import Configured, Cursor, Drivers, Limit, Store, SweepId, TrialNumber
from service.errors import ProblemError, problem_docs
from service.links import sweep_url
from service.sweeps.schemas import (
    ShownSweep,
    SubmittedSweep,
    Sweep,
    SweepPage,
    Trial,
    TrialPage,
    shown_sweep,
    submitted_sweep,
    sweep_detail,
    sweep_summary,
    trial_detail,
    trial_summary,
)
from sweeps.spec.check import refuse_errors
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.store import deletion
from sweeps.store.states import SweepState, TrialState

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

EXAMPLE_SPEC = {
    "name": "tabletop-tradeoff",
    "scene": "embedded:tabletop",
    "base": "demo_cpu",
    "space": {
        "feat_loss_weight": {"type": "float", "low": 1e-5, "high": 10.0, "log": True},
        "max_res": {"type": "categorical", "choices": [256, 512, 1024]},
    },
    "objectives": ["psnr", "feature_gain", "train_seconds"],
    "budget": {"trials": 12},
}

_SPEC_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"$ref": "#/components/schemas/SweepSpec"}, "example": EXAMPLE_SPEC}
            for kind in ("application/json", "application/yaml")
        },
    }
}

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any text of your own. The same key and body again answer 200 with the same sweep.",
    ),
]


@router.post(
    "",
    summary="Ask for a sweep",
    status_code=201,
    response_model=SubmittedSweep,
    openapi_extra=_SPEC_BODY,
    responses={
        200: {"model": SubmittedSweep, "description": "The sweep that this Idempotency-Key made before."},
        201: {"headers": {"Location": {"description": "Address of the sweep.", "schema": {"type": "string"}}}},
        **problem_docs(400, 409, 413, 415, 422),
    },
)
def create_sweep(
    *,
    text: Annotated[str, Depends(body_text)],
    response: Response,
    store: Store,
    launcher: Drivers,
    settings: Configured,
    idempotency_key: IdempotencyKey = None,
) -> SubmittedSweep:
    """Checks the whole spec (parameters, base, scene, objectives, rules), stores the sweep as `queued` and starts its
    driver. The spec may be JSON or YAML. Nothing is stored of a spec that can't work, nor of one of whose space a part
    breaks a rule of severity `error` that `allow` does not name, nor of one whose trials need more CPUs or GPUs than
    this machine has, unless they run on a Ray cluster."""
    plan = check_spec(parse_spec(text), scene_root=settings.sweeps.scene_root)
    warnings = refuse_errors(plan, runs_here=settings.sweeps.ray_address is None)
    record, created = store.create_sweep(plan.spec, resolved=plan.resolved, idempotency_key=idempotency_key)
    launcher.wake()
    response.headers["Location"] = sweep_url(record.id)
    response.status_code = 201 if created else 200
    return submitted_sweep(record, warnings)


@router.get("", summary="List sweeps", response_model=SweepPage, responses=problem_docs(422))
def list_sweeps(store: Store, state: SweepState | None = None, cursor: Cursor = None, limit: Limit = 50) -> SweepPage:
    """Sweeps, newest first, a page at a time."""
    page = store.list_sweeps(state=state, cursor=cursor, limit=limit)
    return SweepPage(items=[sweep_summary(item) for item in page.items], next_cursor=page.next_cursor)


@router.get("/{sweep_id}", summary="Show a sweep", response_model=ShownSweep, responses=problem_docs(404))
def show_sweep(sweep_id: SweepId, store: Store, settings: Configured) -> ShownSweep:
    """A sweep with its spec, the number of trials in each state, and what it takes on disk."""
    return shown_sweep(store.get_sweep(sweep_id), settings.sweeps.sweep_bytes(sweep_id))


@router.get("/{sweep_id}/trials", summary="List trials", response_model=TrialPage, responses=problem_docs(404, 422))
def list_trials(
    sweep_id: SweepId,
    store: Store,
    state: TrialState | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> TrialPage:
    """Trials by number, a page at a time; running ones with their progress."""
    page = store.list_trials(sweep_id, state=state, cursor=cursor, limit=limit)
    return TrialPage(items=[trial_summary(item) for item in page.items], next_cursor=page.next_cursor)


@router.get(
    "/{sweep_id}/trials/{number}",
    summary="Show a trial",
    response_model=Trial,
    responses=problem_docs(404, 422),
)
def show_trial(sweep_id: SweepId, number: TrialNumber, store: Store) -> Trial:
    """A trial with its whole configuration, its attempts and all that it reported."""
    trial = store.get_trial(sweep_id, number)
    attempts, rungs = store.attempts(sweep_id, number), store.rungs(sweep_id, number)
    return trial_detail(trial, attempts, rungs, store.reports(sweep_id, number))


@router.get(
    "/{sweep_id}/trials/{number}/pictures/{name}",
    summary="A trial's picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}, **problem_docs(404, 422)},
)
def show_picture(sweep_id: SweepId, number: TrialNumber, name: str, store: Store, settings: Configured) -> FileResponse:
    """A picture of a trial as PNG; `panel.png` is truth, render, depth and features of one held-out view."""
    pictures = store.get_trial(sweep_id, number).pictures
    path = pictures.get(name.removesuffix(".png"))
    if path is None:
        known = ", ".join(f"{known}.png" for known in pictures) or "none"
        raise ProblemError(404, "unknown-picture", f"picture {name!r} of trial {number}: it has {known}")
    file = settings.sweeps.sweep_dir(sweep_id) / path
    if not file.is_file():
        raise ProblemError(404, "unknown-picture", f"picture {name!r} of trial {number}: its file is gone")
    return FileResponse(file, media_type="image/png")


@router.post(
    "/{sweep_id}/cancel",
    summary="Cancel a sweep",
    status_code=202,
    response_model=Sweep,
    responses=problem_docs(404, 409),
)
def cancel_sweep(sweep_id: SweepId, store: Store) -> Sweep:
    """Stops it: at once where no driver runs it, or its driver dies, else within seconds. Results so far stay.
    Cancelling a cancelled sweep changes nothing."""
    return sweep_detail(store.request_cancel(sweep_id))


@router.post(
    "/{sweep_id}/resume",
    summary="Resume a sweep",
    status_code=202,
    response_model=Sweep,
    responses=problem_docs(404, 409),
)
def resume_sweep(sweep_id: SweepId, store: Store, launcher: Drivers) -> Sweep:
    """Queues an interrupted, failed or cancelled sweep again; its finished trials are kept."""
    record = store.request_resume(sweep_id)
    launcher.wake()
    return sweep_detail(record)


@router.delete("/{sweep_id}", summary="Delete a sweep", status_code=204, responses=problem_docs(404, 409))
def delete_sweep(sweep_id: SweepId, store: Store, settings: Configured) -> None:
    """Removes it for good: its trials and results, and its checkpoints, pictures and log on the service's machine. One
    that is queued or running must be cancelled first (409). Its Idempotency-Key is free again."""
    deletion.delete_sweep(store, settings.sweeps, sweep_id)
