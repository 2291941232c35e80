"""The resource /api/v1/configs."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

URL = "/api/v1/configs/check"
HEAVY = {"max_res": 4096, "log2_hashmap_size": 21, "train_num_rays_per_batch": 16384, "mixed_precision": False}


def test_a_configuration(client: TestClient) -> None:
    answer = client.post(URL, json={"parameters": HEAVY})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["kind"], body["ok"], body["samples"], body["forbidden"]) == ("configuration", True, 1, 0.0)
    (finding,) = body["findings"]
    assert (finding["rule"], finding["severity"], finding["share"]) == ("memory-full-precision", "warning", 1.0)
    assert finding["parameters"] == HEAVY
    assert body["memory"]["limit_gb"] is None


def test_memory_that_a_gpu_does_not_have(client: TestClient) -> None:
    body = client.post(URL, json={"parameters": HEAVY}, params={"gpu_memory_gb": 4}).json()
    assert (body["ok"], body["forbidden"], body["findings"][0]["rule"]) == (False, 1.0, "memory-limit")
    memory = body["memory"]
    assert (memory["device"], memory["backend"], memory["measured"], memory["limit_gb"]) == ("cuda", "tcnn", False, 4.0)
    assert memory["peak_memory_gb"] > 4.0


def test_how_many_trials_would_share_a_gpu(client: TestClient, tiny_scene: Path) -> None:
    space = {"max_res": {"type": "int", "low": 512, "high": 1024}}
    document = {"name": "s", "scene": str(tiny_scene), "space": space}
    sharing = client.post(URL, json=document, params={"gpu_memory_gb": 80}).json()["sharing"]
    assert (sharing["together"], sharing["gpu_memory_gb"]) == (4, 80.0)
    assert sharing["reason"].startswith("4 trials share a GPU of 80 GB, which would hold ")
    assert client.post(URL, json=document).json()["sharing"] is None


@pytest.mark.parametrize("gpu_memory_gb", ["0", "-1", "nan", "x"])
def test_a_memory_that_is_none_is_refused(client: TestClient, gpu_memory_gb: str) -> None:
    answer = client.post(URL, json={"parameters": {}}, params={"gpu_memory_gb": gpu_memory_gb})
    assert answer.status_code == 422
    assert "gpu_memory_gb" in answer.text


def test_a_preset_in_yaml(client: TestClient) -> None:
    text = "name: mine\nbase: high_quality\nparameters: {lr: 0.05}\n"
    body = client.post(URL, content=text, headers={"Content-Type": "application/yaml"}).json()
    assert (body["name"], body["ok"]) == ("mine", True)
    assert [finding["rule"] for finding in body["findings"]] == ["high-rate"]


def test_a_space(client: TestClient, tiny_scene: Path) -> None:
    space = {"feat_loss_weight": {"type": "categorical", "choices": [0.0, 1.0]}}
    body = client.post(URL, json={"name": "s", "scene": str(tiny_scene), "space": space}).json()
    assert (body["kind"], body["samples"], body["ok"]) == ("space", 512, False)
    assert body["findings"][0]["rule"] == "no-features"
    assert body["forbidden"] == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        ({"parameters": {"max_ress": 1}}, "parameters.max_ress", "did you mean max_res?"),
        ({"base": "nope"}, "base", "no such preset"),
        ({"space": {}}, "name", "is required"),
        (
            {
                "name": "s",
                "space": {"max_res": {"type": "int", "low": 512, "high": 1024}},
                "search": {"warm_start": {"sweeps": ["nope"]}},
            },
            "search.warm_start.sweeps.0",
            "no such sweep",
        ),
        ({"parametres": {}}, "parametres", "did you mean parameters?"),
    ],
)
def test_a_document_that_cant_work_names_its_field(
    client: TestClient, document: dict[str, object], field: str, said: str
) -> None:
    answer = client.post(URL, json=document)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert said in answer.json()["detail"]


def test_nesting_and_another_method_are_refused(client: TestClient) -> None:
    deep = '{"parameters": ' + "[" * 500 + "]" * 500 + "}"
    answer = client.post(URL, content=deep, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "nested more than 16 levels deep")
    assert client.get(URL).status_code == 405
