"""Who may ask: this machine's own programs and pages."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765"])
def test_this_machine_may_ask(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost.evil.example:80"])
def test_another_name_for_this_machine_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["type"].endswith(":wrong-host")


def test_a_page_of_another_origin_may_not_change_anything(client: TestClient) -> None:
    answer = client.post("/api/v1/sweeps/x/cancel", headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"


def test_origin_null_of_a_sandboxed_page_may_not_change_anything(client: TestClient) -> None:
    assert client.post("/api/v1/sweeps/x/cancel", headers={"origin": "null"}).status_code == 403


def test_another_port_of_this_machine_is_another_origin(client: TestClient) -> None:
    answer = client.post("/api/v1/sweeps/x/cancel", headers={"origin": "http://127.0.0.1:3000"})
    assert answer.status_code == 403


def test_the_services_own_page_may(client: TestClient) -> None:
    answer = client.post("/api/v1/sweeps/x/cancel", headers={"origin": "http://127.0.0.1:8765"})
    assert answer.status_code == 404  # it reached the route: there is no sweep x
