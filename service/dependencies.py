"""What routes ask for: the store, the launcher, the settings, and checked path parts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from service.errors import Fault, invalid_request
from service.launcher import Launcher
from service.settings import ServiceSettings
from service.sweeps.exporter import ConfigExporter
from sweeps.spec.documents import suggestion
from sweeps.store.repository import MAX_PAGE, Repository


def _store(request: Request) -> Repository:
    repository: Repository = request.app.state.repository
    return repository


def _launcher(request: Request) -> Launcher:
    launcher: Launcher = request.app.state.launcher
    return launcher


def _exporter(request: Request) -> ConfigExporter:
    exporter: ConfigExporter = request.app.state.exporter
    return exporter


def _settings(request: Request) -> ServiceSettings:
    settings: ServiceSettings = request.app.state.settings
    return settings


async def known_queries_only(request: Request) -> None:
    """Refuse a query parameter that the route does not take: a misspelt one would be passed over.

    Raises:
        ProblemError: names each.
    """
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        hints = {name: suggestion(name, sorted(known)) if known else "; none is taken here" for name in unknown}
        raise invalid_request([Fault(field=name, detail=f"no such query parameter{hints[name]}") for name in unknown])


Store = Annotated[Repository, Depends(_store)]
Drivers = Annotated[Launcher, Depends(_launcher)]
Exporter = Annotated[ConfigExporter, Depends(_exporter)]
Configured = Annotated[ServiceSettings, Depends(_settings)]
SweepId = Annotated[str, Path(description="The sweep's id.", max_length=64, pattern=r"^[^\x00]+$")]
TrialNumber = Annotated[int, Path(description="The trial's number, from 0.", ge=0)]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.", max_length=500)]
Limit = Annotated[int, Query(description="Items on a page.", ge=1, le=MAX_PAGE)]
