"""The resource /api/v1/presets."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from sweeps.spec.presets import list_presets


def test_lists_all_presets(client: TestClient) -> None:
    items = client.get("/api/v1/presets").json()["items"]
    assert [item["name"] for item in items] == list_presets()
    assert items[0]["name"] == "f3rm_default"
    assert items[0]["base"] is None


def test_shows_a_preset_with_every_parameter(client: TestClient) -> None:
    preset = client.get("/api/v1/presets/f3rm_default").json()
    assert (preset["resolved"]["max_res"], preset["resolved"]["feat_max_res"]) == (2048, 128)


@pytest.mark.parametrize("name", ["nope", "f3rm_default.yaml", "..%2Fsecret.yaml", "%2Fetc%2Fpasswd"])
def test_a_name_that_is_none_reads_no_file(client: TestClient, name: str) -> None:
    answer = client.get(f"/api/v1/presets/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
