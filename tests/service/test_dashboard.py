"""The dashboard reads and never writes."""

from __future__ import annotations

import optuna
import pytest
from fastapi.testclient import TestClient

from service.settings import ServiceSettings
from sweeps.search.study import open_storage


@pytest.fixture
def study_id(settings: ServiceSettings, client: TestClient) -> int:
    storage = open_storage(settings.sweeps.store_url)
    study = optuna.create_study(storage=storage, study_name="front-abc", directions=["maximize", "minimize"])
    study.add_trial(optuna.trial.create_trial(values=[1.0, 2.0]))
    return study._study_id


def test_shows_studies_and_their_trials(client: TestClient, study_id: int) -> None:
    studies = client.get("/api/studies").json()["study_summaries"]
    assert [study["study_name"] for study in studies] == ["front-abc"]
    trials = client.get(f"/api/studies/{study_id}").json()["trials"]
    assert [trial["values"] for trial in trials] == [[1.0, 2.0]]


def test_a_sweep_whose_study_gets_a_deleted_ones_id_is_shown_as_itself(
    client: TestClient, settings: ServiceSettings
) -> None:
    storage, shown = open_storage(settings.sweeps.store_url), []
    for parameter, trials in (("max_res", 3), ("lr", 1)):
        study = optuna.create_study(storage=storage, study_name=f"varies-{parameter}")
        for _ in range(trials):
            study.ask({parameter: optuna.distributions.FloatDistribution(0, 1)})
        detail = client.get(f"/api/studies/{study._study_id}").json()
        parameters = [one["name"] for one in detail["union_search_space"]]
        shown.append((study._study_id, detail["name"], len(detail["trials"]), parameters))
        optuna.delete_study(study_name=study.study_name, storage=storage)
    assert shown == [(1, "varies-max_res", 3, ["max_res"]), (1, "varies-lr", 1, ["lr"])]


@pytest.mark.parametrize("path", ["/", "/dashboard", "/dashboard/studies/1"])
def test_shows_its_pages_at_the_root(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "Optuna Dashboard" in answer.text


def test_refuses_every_method_that_could_change_something(client: TestClient, study_id: int) -> None:
    study = f"/api/studies/{study_id}"
    for path in ("/api/studies", study, f"{study}/rename", f"/api/artifacts/{study_id}/1", "/", "/anything"):
        for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND", "delete"):
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD"), f"{method} {path}"
            assert answer.json()["type"].endswith(":read-only-dashboard")
    assert len(client.get("/api/studies").json()["study_summaries"]) == 1


def test_a_method_override_header_does_not_get_through(client: TestClient, study_id: int) -> None:
    answer = client.get(f"/api/studies/{study_id}", headers={"X-HTTP-Method-Override": "DELETE"})
    assert answer.status_code == 200
    assert len(client.get("/api/studies").json()["study_summaries"]) == 1
