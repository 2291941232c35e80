"""The FastAPI application: /api/v1, /healthz, /docs, and the dashboard at whatever is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel

from service.configs.routes import router as configs_router
from service.dashboard import ReadOnlyDashboard
from service.dependencies import known_queries_only
from service.errors import PROBLEM_TYPE, ProblemError, problem_docs, problem_response, register
from service.guard import LoopbackGuard
from service.launcher import Launcher
from service.links import API
from service.parameters.routes import router as parameters_router
from service.presets.routes import router as presets_router
from service.presets.routes import suggested as suggested_router
from service.settings import ServiceSettings
from service.sweeps.exporter import ConfigExporter
from service.sweeps.results import router as results_router
from service.sweeps.routes import router as sweeps_router
from sweeps.spec.presets import PresetDocument
from sweeps.spec.sweep import SweepSpec
from sweeps.store.repository import Repository

_DESCRIPTION = """Hyperparameter sweeps for F3RM: a radiance field and a feature field, trained together.

Ask for a sweep (`POST /api/v1/sweeps`), follow its trials, read the front of quality against cost, export the
winner. Errors are `application/problem+json` (RFC 9457). The Optuna dashboard is at `/`, read-only."""


class Health(BaseModel):
    """Whether the service can do its work."""

    status: Literal["ok"]
    version: str


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """The application, with its store open; drivers are started while it serves.

    Args:
        settings: None reads them from the environment.

    Raises:
        InvalidSetting: a setting that can't work.
        StoreUnavailable: the database can't be opened.
    """
    settings = settings or ServiceSettings.from_environment()
    repository = Repository.open(settings.sweeps.store_url)
    launcher = Launcher(repository, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        launcher.start()
        yield
        launcher.stop()
        repository.close()

    app: FastAPI = FastAPIOffline(  # FastAPI, its /docs page with no files from the internet
        title="f3rm-sweeps", version=_version(), description=_DESCRIPTION, lifespan=lifespan, redoc_url=None
    )
    app.state.settings = settings
    app.state.repository = repository
    app.state.launcher = launcher
    app.state.exporter = ConfigExporter(settings.sweeps)
    register(app)
    app.add_middleware(LoopbackGuard)
    for router in _ROUTERS:
        app.include_router(router, prefix=API, dependencies=[Depends(known_queries_only)], responses=problem_docs(422))
    app.add_api_route("/healthz", _healthz, tags=["health"], summary="Is it alive?", responses=problem_docs(503))
    app.add_api_route(API + "/{path:path}", _no_route, methods=_ALL_METHODS, include_in_schema=False)
    app.mount("/", ReadOnlyDashboard(settings.sweeps.store_url, settings.sweeps.artifacts_dir))
    _describe(app)
    return app


_ROUTERS = (sweeps_router, results_router, presets_router, suggested_router, parameters_router, configs_router)
_ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def _healthz(request: Request) -> Health:
    """Answers 200 when the service runs and its database answers."""
    request.app.state.repository.list_sweeps(limit=1)
    return Health(status="ok", version=_version())


def _no_route(request: Request, path: str) -> Response:
    """Below /api/v1 nothing falls through to the dashboard: 405 where the path is known, else 404."""
    allowed: set[str] = set()
    for router in _ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(f"/{path}"):
                allowed |= route.methods or set()
    if allowed:
        names = ", ".join(sorted(allowed))
        detail = f"{request.method} {request.url.path}: allowed here: {names}"
        return problem_response(ProblemError(405, "method-not-allowed", detail, headers={"Allow": names}))
    detail = f"{request.url.path}: no such resource; see /docs"
    return problem_response(ProblemError(404, "not-found", detail))


def _describe(app: FastAPI) -> None:
    """Complete the OpenAPI document: schemas of bodies that their routes read by themselves, and problem+json."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = generate()
        schemas = document["components"]["schemas"]
        for written in (SweepSpec, PresetDocument):
            schema = written.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[written.__name__] = schema
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path in document["paths"].values():
            for operation in path.values():
                for status, answer in operation["responses"].items():
                    if status >= "400":
                        answer["content"] = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _version() -> str:
    try:
        return version("f3rm-sweeps")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
