"""The Optuna dashboard at `/`, read-only.

The dashboard's own API deletes and renames studies and rewrites results without asking who it is. Here only
reading passes: what changes a sweep goes through /api/v1. The dashboard works only at the root path (its pages
ask for absolute addresses), so it takes what no route of ours took.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from a2wsgi import WSGIMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ProblemError, problem_response
from sweeps.store.studies import study_names

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

READING_METHODS = ("GET", "HEAD")


class ReadOnlyDashboard:
    """ASGI application: the Optuna dashboard over the store's database and the trials' artifacts.

    Args:
        storage_url: SQLAlchemy URL of the store; the Optuna studies are in the same database.
        artifact_dir: folder of the artifacts (the trials' pictures).

    The dashboard itself is imported and built at the first request: it costs more than a second, which the
    service's start need not wait for.
    """

    def __init__(self, storage_url: str, artifact_dir: Path) -> None:
        self._storage_url = storage_url
        self._artifact_dir = artifact_dir
        self._storage: RDBStorage | None = None
        self._dashboard: ASGIApp | None = None
        self._names: dict[int, str] = {}
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in READING_METHODS:
            refusal = ProblemError(
                405,
                "read-only-dashboard",
                f"{scope['method']} {scope['path']}: the dashboard is read-only here; sweeps are changed by "
                "/api/v1 or the f3rm-sweeps command",
                headers={"Allow": ", ".join(READING_METHODS)},
            )
            await problem_response(refusal)(scope, receive, send)
            return
        async with self._lock:
            if self._dashboard is None or await asyncio.to_thread(self._has_read_others):
                self._dashboard = await asyncio.to_thread(self._build)
        await self._dashboard(scope, receive, send)

    def _has_read_others(self) -> bool:
        """Whether a study has the id of one that was deleted, as SQLite gives it out again: the dashboard keeps what it
        has read of a study, by its id."""
        names = self._study_names()
        others = any(names.get(study, name) != name for study, name in self._names.items())
        self._names |= names
        return others

    def _study_names(self) -> dict[int, str]:
        assert self._storage is not None
        with self._storage.engine.connect() as connection:
            return study_names(connection)

    def _build(self) -> ASGIApp:
        import optuna_dashboard
        from optuna.artifacts import FileSystemArtifactStore

        from sweeps.search.study import open_storage

        self._artifact_dir.mkdir(parents=True, exist_ok=True)
        artifacts = FileSystemArtifactStore(self._artifact_dir)
        self._storage = self._storage or open_storage(self._storage_url)
        self._names = self._study_names()
        dashboard = optuna_dashboard.wsgi(self._storage, artifact_store=artifacts)
        return WSGIMiddleware(dashboard)
