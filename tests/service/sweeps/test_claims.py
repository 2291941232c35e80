"""POST of an ablation, and /claims."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from service.settings import ServiceSettings
from sweeps.store.repository import Repository
from tests.played import ABLATION, play, play_ablation


def test_an_ablation_is_stored_with_its_arms_spelled_out(client: TestClient) -> None:
    answer = client.post("/api/v1/sweeps", json=ABLATION)
    assert answer.status_code == 201
    sweep = answer.json()
    assert sweep["trials_planned"] == 6 * 3
    assert sweep["spec"]["arms"]["max-res-high"] == {"max_res": 1024}
    assert sweep["links"]["claims"] == f"/api/v1/sweeps/{sweep['id']}/claims"
    assert client.get(sweep["links"]["claims"]).json()["counts"]["no data"] == 4


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"claims": ["samples-fewer"]}, "claims.0"),
        ({"arms": {"a": {}}}, "arms.a"),
        ({"arms": {"a": {"max_res": 512}}}, "arms.a"),
        ({"allow": []}, "arms.unstable"),
        ({"budget": {"trials": 3}}, "budget.trials"),
    ],
)
def test_a_bad_ablation_is_refused_with_the_field_at_fault(
    client: TestClient, store: Repository, parts: dict[str, object], field: str
) -> None:
    answer = client.post("/api/v1/sweeps", json={**ABLATION, **parts})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert store.list_sweeps().items == []


def test_the_same_key_and_body_again_is_the_same_ablation(client: TestClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, second = (client.post("/api/v1/sweeps", json=ABLATION, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]


def test_the_claims(client: TestClient, store: Repository) -> None:
    answer = client.get(f"/api/v1/sweeps/{play_ablation(store).id}/claims").json()
    by_id = {claim["id"]: claim for claim in answer["claims"]}
    assert by_id["samples-few-fast"]["effect"]["value"] == pytest.approx(2 / 3)
    assert by_id["samples-few-fast"]["fit"] == "as stated"
    assert by_id["mixed-precision"]["verdict"] == "out of reach"
    assert {own["arm"] for own in answer["others"]} == {"wide-colours"}


def test_a_search_has_none(client: TestClient, store: Repository, settings: ServiceSettings) -> None:
    sweep = play(store, settings.sweeps)
    answer = client.get(f"/api/v1/sweeps/{sweep.id}/claims")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:f3rm-sweeps:problem:not-an-ablation")
    assert "claims" not in client.get(f"/api/v1/sweeps/{sweep.id}").json()["links"]
    assert client.get("/api/v1/sweeps/none/claims").status_code == 404
