"""The resource /api/v1/parameters."""

from __future__ import annotations

from fastapi.testclient import TestClient

from f3rm_core import PARAMETERS


def test_lists_every_parameter_with_all_that_is_known(client: TestClient) -> None:
    items = client.get("/api/v1/parameters").json()["items"]
    assert [item["name"] for item in items] == list(PARAMETERS)
    by_name = {item["name"]: item for item in items}
    weight = by_name["feat_loss_weight"]
    assert (weight["default"], weight["part"], weight["low"]) == (1e-3, "losses", 0.0)
    assert weight["sweep"] == {"scale": "log", "low": 1e-5, "high": 10.0, "choices": []}
    assert weight["effects"]["memory"] is None
    assert by_name["lr"]["above"] == 0.0
    assert by_name["num_proposal_samples_per_ray"]["default"] == [256, 96]
    assert by_name["steps_per_save"]["not_sweepable"] == "it changes no result"
