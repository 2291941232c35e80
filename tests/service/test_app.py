"""The application as a whole: health, the OpenAPI document, errors that nobody foresaw."""

from __future__ import annotations

import errno
import re

import pytest
from fastapi.testclient import TestClient

from service.errors import problem_of
from sweeps.store.repository import Repository


def test_healthz(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"


def test_every_operation_is_documented(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], where


def test_every_reference_of_the_document_leads_somewhere(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    references: set[str] = set()

    def collect(node: object) -> None:
        if isinstance(node, dict):
            references.update([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(document)
    names = {reference.removeprefix("#/components/schemas/") for reference in references}
    assert "SweepSpec" in names
    assert names <= set(document["components"]["schemas"])


def test_a_sweeps_schema_names_metrics_and_rules_and_no_function(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()["components"]["schemas"]["SweepSpec"]
    assert "parse_spec" not in schema["description"]
    parts = schema["properties"]
    for one in (parts["objectives"]["items"], parts["constraints"]["propertyNames"]):
        assert one["enum"][:2] == ["psnr", "ssim"]
    assert "unstable-rates" in parts["allow"]["items"]["enum"]


def test_an_unforeseen_error_is_a_problem_and_tells_nothing(
    client: TestClient, store: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("postgresql://user:secret@host")

    monkeypatch.setattr(store, "list_sweeps", fail)
    answer = client.get("/api/v1/sweeps")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("code", "status"), [(errno.ENOSPC, 507), (errno.EROFS, 500), (errno.EACCES, 500), (errno.EDQUOT, 507)]
)
def test_a_disk_that_cant_be_written(code: int, status: int) -> None:
    problem = problem_of(OSError(code, "no", "/data/x")).problem
    assert problem.status == status
    assert "/data/x" in problem.detail


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/sweeps?foo=bar&limit=3", "foo: no such query parameter; known: cursor, limit, state"),
        ("/sweeps?limits=3", "limits: no such query parameter; did you mean limit?"),
        ("/sweeps/x/pareto?scenario=quick", "scenario: no such query parameter; none is taken here"),
        ("/parameters?a=1&b=2", "a: no such query parameter; none is taken here (and 1 more)"),
    ],
)
def test_a_query_parameter_that_no_route_takes_is_refused(client: TestClient, path: str, said: str) -> None:
    answer = client.get(f"/api/v1{path}")
    assert (answer.status_code, answer.json()["detail"]) == (422, said)
    assert answer.json()["field"] == said.split(":", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/v1/nothing"), ("POST", "/api/v1/nothing"), ("GET", "/api/v1/")]
)
def test_nothing_below_the_api_falls_through_to_the_dashboard(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_of_the_api_needs_no_internet(client: TestClient) -> None:
    page = client.get("/docs").text
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any(file.endswith("swagger-ui-bundle.js") for file in files)
    assert all(client.get(file).status_code == 200 for file in files)
