"""A service over a store of its own, without drivers: the launcher starts only with the application's lifespan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import ServiceSettings
from sweeps.settings import Settings
from sweeps.store.repository import Repository

ADDRESS = "http://127.0.0.1:8765"


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    environment = {"F3RM_DATA_DIR": str(tmp_path / "data"), "F3RM_CACHE_DIR": str(tmp_path / "cache")}
    return ServiceSettings(Settings.from_environment(environment))


@pytest.fixture
def client(settings: ServiceSettings) -> Iterator[TestClient]:
    app = create_app(settings)
    yield TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)
    app.state.repository.close()


@pytest.fixture
def store(client: TestClient) -> Repository:
    repository: Repository = client.app.state.repository  # type: ignore[attr-defined]
    return repository
