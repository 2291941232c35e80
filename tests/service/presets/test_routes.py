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


def test_a_preset_says_what_it_is_expected_to_trade(client: TestClient) -> None:
    assert all(item["trade_off"] for item in client.get("/api/v1/presets").json()["items"])


def test_suggests_a_preset(client: TestClient) -> None:
    query = {"scene_complexity": "very_complex", "gpu_memory_gb": 12}
    body = client.get("/api/v1/suggested-preset", params=query).json()
    assert (body["base"], body["parameters"]["max_res"], body["parameters"]["hidden_dim"]) == (
        "f3rm_default",
        2048,
        128,
    )
    assert {reason["parameter"]: reason["rule"] for reason in body["reasons"]}["max_res"] == "memory"
    checked = client.post("/api/v1/configs/check", json={"parameters": body["parameters"]}).json()
    assert (checked["ok"], checked["findings"]) == (True, [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"scene_complexity": "medium", "gpu_memory_gb": 12}, "scene_complexity"),
        ({"scene_complexity": "simple", "gpu_memory_gb": 0}, "gpu_memory_gb"),
        ({"scene_complexity": "simple", "gpu_memory_gb": "nan"}, "gpu_memory_gb"),
        ({"scene_complexity": "simple"}, "gpu_memory_gb"),
    ],
)
def test_a_suggestion_for_nothing_is_refused(client: TestClient, query: dict[str, object], field: str) -> None:
    answer = client.get("/api/v1/suggested-preset", params=query)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
