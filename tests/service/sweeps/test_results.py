"""/pareto, /winner and /export of a played sweep whose front is known."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from service.settings import ServiceSettings
from sweeps.spec.sweep import parse_spec
from sweeps.store.repository import Repository
from tests.played import RESULTS, SPEC, play, play_ablation


@pytest.fixture
def url(store: Repository, settings: ServiceSettings) -> str:
    return f"/api/v1/sweeps/{play(store, settings.sweeps).id}"


@pytest.fixture
def empty_url(store: Repository) -> str:
    return f"/api/v1/sweeps/{store.create_sweep(parse_spec(SPEC))[0].id}"


def test_the_front_comes_first_then_the_beaten(client: TestClient, url: str) -> None:
    front = client.get(f"{url}/pareto").json()
    assert [(point["trial"], point["on_front"]) for point in front["points"]] == [(0, True), (2, True), (1, False)]
    assert front["points"][1]["metrics"] == RESULTS[2]
    assert front["points"][1]["parameters"] == {"feat_loss_weight": 0.01}
    assert [objective["direction"] for objective in front["objectives"]] == ["maximize", "maximize"]


def test_the_winner_with_its_scores_and_its_reason(client: TestClient, url: str) -> None:
    won = client.get(f"{url}/winner").json()
    assert (won["scenario"], won["trial"]["number"]) == ("balanced", 0)
    assert won["scores"] == {"psnr": 1.0, "feature_gain": 0.0}
    assert won["reason"]


@pytest.mark.parametrize(("scenario", "number"), [("quick", 0), ("quality", 0), ("language", 2)])
def test_every_scenario_has_its_winner(client: TestClient, url: str, scenario: str, number: int) -> None:
    won = client.get(f"{url}/winner?scenario={scenario}").json()
    assert (won["trial"]["number"], won["repeats"]) == (number, None)


def test_the_winners_of_all_scenarios(client: TestClient, url: str) -> None:
    found = client.get(f"{url}/winners").json()
    assert [(won["scenario"], won["trial"]["number"]) for won in found["winners"]] == [
        ("balanced", 0),
        ("quick", 0),
        ("quality", 0),
        ("language", 2),
    ]
    assert found["winners"][0] == client.get(f"{url}/winner").json()
    assert list(found["without_winner"]) == ["memory"]
    assert "needs peak_memory_gb" in found["without_winner"]["memory"]


def test_the_hypervolume_and_where_it_counts_from(client: TestClient, url: str) -> None:
    found = client.get(f"{url}/hypervolume").json()
    # psnr 20 and 18 of 10 to 40, feature_gain 0.5 and 0.7 of 0 to 1.
    assert [point["hypervolume"] for point in found["history"]] == pytest.approx([1 / 6, 1 / 6, 0.22, 0.22])
    assert [scale["reference"] for scale in found["scales"]] == [10.0, 0.0]
    front = client.get(f"{url}/pareto").json()
    assert front["hypervolume"] == pytest.approx(0.22)
    assert front["knee"] is None


def test_importance_of_too_few_trials_says_so(client: TestClient, url: str) -> None:
    found = client.get(f"{url}/importance").json()
    assert found["importance"] == {}
    assert found["note"] == "importance needs at least 20 completed trials; there are 3"


def test_an_ablation_has_claims_and_no_importance(client: TestClient, store: Repository) -> None:
    links = client.get(f"/api/v1/sweeps/{play_ablation(store).id}").json()["links"]
    assert "importance" not in links
    answer = client.get(links["claims"].removesuffix("claims") + "importance")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:f3rm-sweeps:problem:not-a-search")
    assert "`f3rm-sweeps claims " in answer.json()["detail"]
    assert all(client.get(link).status_code == 200 for link in links.values())


def test_every_link_of_a_search_leads_somewhere(client: TestClient, url: str) -> None:
    links = client.get(url).json()["links"]
    assert {"importance", "winner"} < links.keys()
    assert all(client.get(link).status_code == 200 for link in links.values())


def test_the_winners_preset(client: TestClient, url: str) -> None:
    answer = client.get(f"{url}/export")
    assert answer.headers["content-type"].startswith("application/yaml")
    preset = yaml.safe_load(answer.text)
    assert preset["parameters"]["feat_loss_weight"] == 1.0
    assert preset["parameters"]["seed"] == 7


def test_a_trials_preset(client: TestClient, url: str) -> None:
    preset = yaml.safe_load(client.get(f"{url}/export?trial=1").text)
    assert preset["parameters"]["feat_loss_weight"] == 0.1


def test_the_command(client: TestClient, url: str) -> None:
    answer = client.get(f"{url}/export?trial=1&format=command")
    assert answer.text.startswith("f3rm-sweeps train --preset f3rm_default --scene embedded:tabletop --set ")
    assert " feat_loss_weight=0.1 " in answer.text


@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ("winner?scenario=best", 422, "unknown-scenario"),
        ("winner?scenario=memory", 409, "no-results"),
        ("export?scenario=best", 422, "unknown-scenario"),
        ("export?trial=3", 404, "unknown-trial"),
        ("export?trial=9", 404, "unknown-trial"),
        ("export?trial=-1", 422, "invalid-request"),
        ("export?trial=1&scenario=balanced", 422, "invalid-request"),
        ("export?format=onnx", 422, "invalid-request"),
        ("export?trial=1&format=checkpoint", 422, "checkpoint-by-command"),
    ],
)
def test_what_cant_be_had(client: TestClient, url: str, query: str, status: int, slug: str) -> None:
    answer = client.get(f"{url}/{query}")
    assert answer.status_code == status
    assert answer.json()["type"].endswith(f":{slug}")


def test_before_anything_completed_the_front_is_empty_and_nobody_wins(client: TestClient, empty_url: str) -> None:
    assert client.get(f"{empty_url}/pareto").json()["points"] == []
    assert client.get(f"{empty_url}/hypervolume").json()["history"] == []
    for path in ("winner", "winners", "export"):
        answer = client.get(f"{empty_url}/{path}")
        assert answer.status_code == 409
        assert answer.json()["type"].endswith(":no-results")


def test_a_checkpoint_is_the_command_lines_work(client: TestClient, url: str) -> None:
    detail = client.get(f"{url}/export?trial=2&format=checkpoint").json()["detail"]
    assert f"f3rm-sweeps export {url.rsplit('/', 1)[-1]} --trial 2 --format checkpoint -o DIR" in detail


@pytest.mark.parametrize(
    ("code", "said", "status", "detail"),
    [
        (2, "f3rm-sweeps: scene room: no such folder; give another", 422, "scene room: no such folder; give another"),
        (1, "f3rm-sweeps: unforeseen OSError", 500, "an unforeseen error; the service's log has the traceback"),
        (-9, "", 500, "an unforeseen error; the service's log has the traceback"),
    ],
)
def test_what_the_exporting_command_says_is_passed_on(
    client: TestClient, url: str, monkeypatch: pytest.MonkeyPatch, code: int, said: str, status: int, detail: str
) -> None:
    def end(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[-8:-2] == ["export", url.rsplit("/", 1)[-1], "--trial", "2", "--format", "nerfstudio"]
        return subprocess.CompletedProcess(command, code, stderr=said)

    monkeypatch.setattr(subprocess, "run", end)
    answer = client.get(f"{url}/export?trial=2&format=nerfstudio")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


def test_an_export_that_takes_too_long(client: TestClient, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(command: list[str], *, timeout: float, **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", wait)
    answer = client.get(f"{url}/export?format=nerfstudio")
    assert answer.status_code == 503
    assert answer.json()["type"].endswith(":export-timeout")


@pytest.mark.slow
def test_a_nerfstudio_config_is_made_in_another_process(client: TestClient, url: str) -> None:
    answer = client.get(f"{url}/export?trial=2&format=nerfstudio")
    assert answer.headers["content-disposition"] == 'inline; filename="played-trial-2-config.yml"'
    config = yaml.load(answer.text, Loader=yaml.Loader)
    assert config.pipeline.model.feat_loss_weight == 0.01
