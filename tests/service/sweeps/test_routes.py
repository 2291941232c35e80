"""The resource /api/v1/sweeps, over a real store and without drivers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient

from service.settings import ServiceSettings
from sweeps.store.cursors import cursor_of
from sweeps.store.repository import Repository
from tests.conftest import write_room
from tests.played import RESULTS, SPEC, play

URL = "/api/v1/sweeps"
RANDOM_FEATURES = {"feat_loss_weight": {"type": "categorical", "choices": [0.0, 1.0]}}


@pytest.fixture
def spec(tiny_scene: Path) -> dict[str, object]:
    return {**SPEC, "scene": str(tiny_scene)}


def problem(answer: object) -> dict[str, object]:
    """The problem that an answer is, its form checked."""
    assert answer.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    body = answer.json()  # type: ignore[attr-defined]
    assert body["status"] == answer.status_code  # type: ignore[attr-defined]
    assert body["type"].startswith("urn:f3rm-sweeps:problem:")
    assert body["title"]
    assert "\n" not in body["detail"]
    return dict(body)


class TestCreate:
    def test_stores_the_sweep_and_says_where_it_is(self, client: TestClient, spec: dict[str, object]) -> None:
        answer = client.post(URL, json=spec)
        assert answer.status_code == 201
        sweep = answer.json()
        assert answer.headers["location"] == f"{URL}/{sweep['id']}"
        assert (sweep["state"], sweep["trials_planned"], sweep["counts"]) == ("queued", 4, {})
        assert sweep["objectives"][0] == {"name": "psnr", "direction": "maximize", "unit": "dB"}
        del sweep["warnings"]  # told once
        assert client.get(answer.headers["location"]).json() == {**sweep, "disk_bytes": 0}

    def test_the_base_is_kept_as_it_was(
        self, client: TestClient, store: Repository, spec: dict[str, object], tmp_path: Path
    ) -> None:
        base = tmp_path / "mine.yaml"
        base.write_text("name: mine\nbase: demo_cpu\nparameters: {num_levels: 8}\n")
        sweep = client.post(URL, json={**spec, "base": str(base)}).json()
        kept = store.get_sweep(sweep["id"]).resolved
        assert kept is not None
        assert kept.fixed["num_levels"] == 8
        assert "resolved" not in sweep["spec"]

    def test_takes_yaml(self, client: TestClient, spec: dict[str, object]) -> None:
        text = yaml.safe_dump(spec).replace("1.0e-05", "1e-5")
        answer = client.post(URL, content=text, headers={"Content-Type": "application/yaml; charset=utf-8"})
        assert answer.status_code == 201
        assert answer.json()["spec"]["space"]["feat_loss_weight"]["low"] == 1e-5

    def test_the_same_key_and_body_give_the_same_sweep(self, client: TestClient, spec: dict[str, object]) -> None:
        first = client.post(URL, json=spec, headers={"Idempotency-Key": "k1"})
        again = client.post(URL, json=spec, headers={"Idempotency-Key": "k1"})
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json()["id"] == first.json()["id"]
        assert again.headers["location"] == first.headers["location"]
        assert len(client.get(URL).json()["items"]) == 1

    def test_the_same_key_with_another_body_is_a_conflict(self, client: TestClient, spec: dict[str, object]) -> None:
        client.post(URL, json=spec, headers={"Idempotency-Key": "k1"})
        answer = client.post(URL, json={**spec, "name": "other"}, headers={"Idempotency-Key": "k1"})
        assert answer.status_code == 409
        assert problem(answer)["field"] == "Idempotency-Key"
        assert len(client.get(URL).json()["items"]) == 1

    def test_a_rule_that_is_allowed_by_name_refuses_nothing(self, client: TestClient, spec: dict[str, object]) -> None:
        answer = client.post(URL, json={**spec, "space": RANDOM_FEATURES, "allow": ["no-features"]})
        assert answer.status_code == 201
        assert answer.json()["spec"]["allow"] == ["no-features"]
        assert "of the space breaks no-features" in answer.json()["warnings"][0]

    def test_without_a_key_each_post_is_a_sweep(self, client: TestClient, spec: dict[str, object]) -> None:
        assert client.post(URL, json=spec).json()["id"] != client.post(URL, json=spec).json()["id"]

    @pytest.mark.parametrize(
        ("change", "field", "word"),
        [
            ({"nmae": "x"}, "nmae", "unknown key; did you mean name"),
            ({"space": {"max_rse": {"type": "int", "low": 1, "high": 2}}}, "space.max_rse", "did you mean max_res"),
            ({"parameters": {"hidden": 3}}, "parameters.hidden", "no such parameter"),
            ({"objectives": ["psnr", "beauty"]}, "objectives.1", "no such metric"),
            ({"objectives": ["lpips"]}, "objectives.0", "can't give it"),
            ({"budget": {"trials": 0}}, "budget.trials", "greater than or equal to 1"),
            ({"base": "nope"}, "base", "no such preset"),
            ({"allow": ["no-feature"]}, "allow.0", "did you mean no-features?"),
            ({"space": RANDOM_FEATURES}, "space.feat_loss_weight", "of the space breaks no-features"),
            ({"parameters": {"clip_pretrained": "/no/such.pt"}}, "parameters.clip_pretrained", "no such file"),
            ({"parameters": {"clip_model": "tabletop-mini"}}, "parameters.clip_pretrained", "give 'embedded'"),
            ({"scene": "embedded:moon"}, "scene", "no such embedded scene"),
            ({"scene": "/no/such/folder"}, "scene", "no such folder"),
        ],
    )
    def test_a_spec_that_cant_work_names_the_field_and_stores_nothing(
        self, client: TestClient, spec: dict[str, object], change: dict[str, object], field: str, word: str
    ) -> None:
        answer = client.post(URL, json={**spec, **change})
        assert answer.status_code == 422
        found = problem(answer)
        assert found["field"] == field
        assert word in str(found["detail"])
        assert client.get(URL).json()["items"] == []

    @pytest.mark.parametrize(
        ("body", "content_type", "status", "slug"),
        [
            (b"", "application/json", 400, "empty-body"),
            (b"  \n", "application/yaml", 400, "empty-body"),
            (b"\xff\xfe", "application/json", 400, "not-text"),
            (b"{}", "text/plain", 415, "unsupported-content-type"),
            (b"{}", "", 415, "unsupported-content-type"),
            (b"[1, 2]", "application/json", 422, "invalid-spec"),
            (b'{"name": ', "application/json", 422, "invalid-spec"),
            (b"name: [a", "application/yaml", 422, "invalid-spec"),
            (b"#" * (1 << 20) + b"#", "application/yaml", 413, "body-too-large"),
        ],
    )
    def test_a_body_that_is_no_spec(
        self, client: TestClient, body: bytes, content_type: str, status: int, slug: str
    ) -> None:
        answer = client.post(URL, content=body, headers={"Content-Type": content_type})
        assert answer.status_code == status
        assert str(problem(answer)["type"]).endswith(f":{slug}")

    def test_all_faults_are_told_at_once(self, client: TestClient, spec: dict[str, object]) -> None:
        answer = client.post(URL, json={**spec, "objectives": ["foo"], "budget": {"trials": -1}})
        assert {fault["field"] for fault in answer.json()["errors"]} == {"budget.trials", "objectives.0"}

    def test_an_option_without_effect_is_told(self, client: TestClient, spec: dict[str, object]) -> None:
        warnings = client.post(URL, json={**spec, "fidelity": {"eta": 5}}).json()["warnings"]
        assert [warning for warning in warnings if warning.startswith("fidelity.eta=5: there are no rungs")]

    def test_what_this_machine_can_never_run_is_refused_unless_a_cluster_runs_it(
        self, client: TestClient, spec: dict[str, object]
    ) -> None:
        from dataclasses import replace

        greedy = {**spec, "resources": {"cpus_per_trial": 1024}}
        answer = client.post(URL, json=greedy)
        assert (answer.status_code, problem(answer)["field"]) == (422, "resources.cpus_per_trial")
        assert "=1024: this machine has " in str(problem(answer)["detail"])
        assert client.get(URL).json()["items"] == []
        settings: ServiceSettings = client.app.state.settings  # type: ignore[attr-defined]
        client.app.state.settings = replace(settings, sweeps=replace(settings.sweeps, ray_address="auto"))  # type: ignore[attr-defined]
        assert client.post(URL, json=greedy).status_code == 201

    def test_a_key_that_is_too_long(self, client: TestClient, spec: dict[str, object]) -> None:
        answer = client.post(URL, json=spec, headers={"Idempotency-Key": "k" * 256})
        assert answer.status_code == 422
        assert problem(answer)["field"] == "Idempotency-Key"


class TestScenesThatCantBeTrained:
    """The scene of the spec is read before anything is stored."""

    def refusal(self, client: TestClient, spec: dict[str, object], scene: Path) -> str:
        answer = client.post(URL, json={**spec, "scene": str(scene)})
        assert answer.status_code == 422
        found = problem(answer)
        assert found["field"] == "scene"
        assert client.get(URL).json()["items"] == []
        return str(found["detail"])

    def test_no_transforms(self, client: TestClient, spec: dict[str, object], tmp_path: Path) -> None:
        assert "transforms.json" in self.refusal(client, spec, tmp_path)

    def test_one_image(self, client: TestClient, spec: dict[str, object], broken_scene: Path) -> None:
        edit(broken_scene, lambda transforms: transforms.update(frames=transforms["frames"][:1]))
        assert "1 image" in self.refusal(client, spec, broken_scene)

    def test_nothing_held_out(self, client: TestClient, spec: dict[str, object], broken_scene: Path) -> None:
        edit(broken_scene, lambda transforms: transforms.update(val_filenames=[]))
        assert "held-out" in self.refusal(client, spec, broken_scene)

    def test_too_few_views_to_hold_one_out(self, client: TestClient, spec: dict[str, object], tmp_path: Path) -> None:
        few = write_room(tmp_path / "few", views=5, held_out=0)
        assert "5 views, of which train_split_fraction=0.9 holds out none" in self.refusal(client, spec, few)

    def test_images_of_different_sizes(self, client: TestClient, spec: dict[str, object], broken_scene: Path) -> None:
        from PIL import Image

        Image.new("RGB", (5, 4)).save(broken_scene / "images" / "03.png")
        assert "5x4" in self.refusal(client, spec, broken_scene)

    def test_outside_the_scene_root(
        self, client: TestClient, spec: dict[str, object], broken_scene: Path, tmp_path: Path
    ) -> None:
        from dataclasses import replace

        settings: ServiceSettings = client.app.state.settings  # type: ignore[attr-defined]
        rooted = replace(settings.sweeps, scene_root=tmp_path / "elsewhere")
        client.app.state.settings = replace(settings, sweeps=rooted)  # type: ignore[attr-defined]
        assert "outside" in self.refusal(client, spec, broken_scene)


@pytest.fixture
def broken_scene(tiny_scene: Path, tmp_path: Path) -> Path:
    """A copy of the tiny scene, to be broken."""
    import shutil

    return Path(shutil.copytree(tiny_scene, tmp_path / "broken"))


def edit(scene: Path, change: object) -> None:
    """Apply a change to the scene's transforms.json."""
    file = scene / "transforms.json"
    transforms = json.loads(file.read_text())
    change(transforms)  # type: ignore[operator]
    file.write_text(json.dumps(transforms))


class TestRead:
    def test_pages_lead_through_all_sweeps_newest_first(self, client: TestClient, spec: dict[str, object]) -> None:
        made = [client.post(URL, json={**spec, "name": f"s{index}"}).json()["id"] for index in range(5)]
        seen, cursor, pages = [], None, 0
        while pages == 0 or cursor:
            page = client.get(URL, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            seen += [item["id"] for item in page["items"]]
            cursor, pages = page["next_cursor"], pages + 1
        assert (seen, pages) == (made[::-1], 3)

    def test_a_sweep_is_shown_with_what_it_takes(
        self, client: TestClient, store: Repository, settings: ServiceSettings
    ) -> None:
        sweep = play(store, settings.sweeps)
        shown = client.get(f"{URL}/{sweep.id}").json()
        assert shown["disk_bytes"] == settings.sweeps.sweep_bytes(sweep.id) > 0
        assert shown["driver_seconds"] == sweep.driver_seconds

    @pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "state=lost", "cursor=nonsense"])
    def test_a_wrong_query_names_its_field(self, client: TestClient, query: str) -> None:
        answer = client.get(f"{URL}?{query}")
        assert answer.status_code == 422
        assert query.split("=", maxsplit=1)[0] in str(problem(answer)["detail"])

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/trials/99999999999999999999999", 404),
            ("/trials/2147483648/pictures/panel.png", 404),
            ("/trials/-1", 422),
            (f"/trials?cursor={cursor_of('9' * 30)}", 422),
            (f"/trials?cursor={cursor_of('-1')}", 422),
            ("/export?trial=99999999999999999999999", 404),
        ],
    )
    def test_a_number_beyond_all_is_one_that_is_not_there(
        self, client: TestClient, store: Repository, settings: ServiceSettings, path: str, status: int
    ) -> None:
        sweep = play(store, settings.sweeps)
        assert client.get(f"{URL}/{sweep.id}{path}").status_code == status

    @pytest.mark.parametrize("parts", [("0001-01-01T00:00:00+23:00", "x"), ("2026-01-01T00:00:00+00:00", "x\0")])
    def test_a_cursor_of_our_form_that_we_never_gave_out(self, client: TestClient, parts: tuple[str, str]) -> None:
        assert client.get(URL, params={"cursor": cursor_of(*parts)}).status_code == 422
        assert client.get(f"{URL}/%00").status_code == 422

    def test_trials_with_their_results_and_failures(
        self, client: TestClient, store: Repository, settings: ServiceSettings
    ) -> None:
        sweep = play(store, settings.sweeps)
        trials = client.get(f"{URL}/{sweep.id}/trials").json()["items"]
        assert [trial["state"] for trial in trials] == ["completed", "completed", "completed", "failed"]
        assert trials[1]["metrics"] == RESULTS[1]
        assert trials[3]["failure"] == {"reason": "diverged", "message": "loss became NaN at step 51; lower lr"}
        assert trials[3]["metrics"] == {}
        assert (trials[3]["step"], trials[3]["total_steps"], trials[3]["loss"]) == (50, 100, 0.25)
        failed = client.get(f"{URL}/{sweep.id}/trials?state=failed").json()["items"]
        assert [trial["number"] for trial in failed] == [3]

    def test_a_trial_alone_has_what_repeats_it(
        self, client: TestClient, store: Repository, settings: ServiceSettings
    ) -> None:
        sweep = play(store, settings.sweeps)
        trial = client.get(f"{URL}/{sweep.id}/trials/3").json()
        configuration = trial["configuration"]
        assert (configuration["feat_loss_weight"], configuration["max_res"], configuration["seed"]) == (1e-3, 256, 10)
        assert configuration["num_levels"] == 16
        assert trial["attempt_history"][0]["outcome"] == "failed"
        assert [(report["step"], report["loss"]) for report in trial["reports"]] == [(50, 0.25)]
        assert trial["failure_detail"] == "Traceback: NaN"

    def test_a_trials_picture(self, client: TestClient, store: Repository, settings: ServiceSettings) -> None:
        sweep = play(store, settings.sweeps)
        address = client.get(f"{URL}/{sweep.id}/trials/2").json()["pictures"]["panel"]
        assert address == f"{URL}/{sweep.id}/trials/2/pictures/panel.png"
        answer = client.get(address)
        assert answer.headers["content-type"] == "image/png"
        assert answer.content == (settings.sweeps.trial_dir(sweep.id, 2) / "panel.png").read_bytes()

    @pytest.mark.parametrize("name", ["other.png", "..%2F..%2F..%2Ff3rm.db", "panel.png.png", "%00"])
    def test_no_other_file_can_be_had(
        self, client: TestClient, store: Repository, settings: ServiceSettings, name: str
    ) -> None:
        sweep = play(store, settings.sweeps)
        assert client.get(f"{URL}/{sweep.id}/trials/2/pictures/{name}").status_code == 404

    @pytest.mark.parametrize(
        ("path", "slug"),
        [
            ("zzz", "unknown-sweep"),
            ("zzz/trials", "unknown-sweep"),
            ("zzz/trials/0", "unknown-sweep"),
            ("zzz/pareto", "unknown-sweep"),
            ("zzz/winner", "unknown-sweep"),
            ("{id}/trials/99", "unknown-trial"),
            ("{id}/trials/0/pictures/x.png", "unknown-picture"),
            ("{id}/nothing", "not-found"),
        ],
    )
    def test_what_is_not_there(
        self, client: TestClient, store: Repository, settings: ServiceSettings, path: str, slug: str
    ) -> None:
        sweep = play(store, settings.sweeps)
        answer = client.get(f"{URL}/{path.format(id=sweep.id)}")
        assert answer.status_code == 404
        assert str(problem(answer)["type"]).endswith(f":{slug}")

    @pytest.mark.parametrize("number", ["-1", "x", "1.5"])
    def test_a_trials_number_is_a_number(self, client: TestClient, number: str) -> None:
        answer = client.get(f"{URL}/zzz/trials/{number}")
        assert answer.status_code == 422
        assert problem(answer)["field"] == "number"


class TestChange:
    def test_cancel_and_resume(self, client: TestClient, spec: dict[str, object]) -> None:
        sweep_id = client.post(URL, json=spec).json()["id"]
        cancelled = client.post(f"{URL}/{sweep_id}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
        assert client.post(f"{URL}/{sweep_id}/cancel").status_code == 202
        resumed = client.post(f"{URL}/{sweep_id}/resume")
        assert (resumed.status_code, resumed.json()["state"]) == (202, "queued")

    def test_a_running_sweep_is_asked_to_stop(
        self, client: TestClient, store: Repository, settings: ServiceSettings
    ) -> None:
        sweep = play(store, settings.sweeps, finish=False)
        answer = client.post(f"{URL}/{sweep.id}/cancel").json()
        assert (answer["state"], answer["cancel_requested"]) == ("running", True)

    @pytest.mark.parametrize("action", ["cancel", "resume"])
    def test_a_completed_sweep_can_be_neither_cancelled_nor_resumed(
        self, client: TestClient, store: Repository, settings: ServiceSettings, action: str
    ) -> None:
        sweep = play(store, settings.sweeps)
        answer = client.post(f"{URL}/{sweep.id}/{action}")
        assert answer.status_code == 409
        assert str(problem(answer)["type"]).endswith(":wrong-state")

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "x/cancel"), ("PATCH", "x"), ("PUT", ""), ("POST", "x/trials")]
    )
    def test_a_method_that_a_path_does_not_take(self, client: TestClient, method: str, path: str) -> None:
        answer = client.request(method, f"{URL}/{path}".rstrip("/"))
        assert answer.status_code == 405
        assert method not in answer.headers["allow"]
        problem(answer)


class TestDelete:
    def test_what_is_deleted_is_gone(self, client: TestClient, store: Repository, settings: ServiceSettings) -> None:
        sweep = play(store, settings.sweeps)
        answer = client.delete(f"{URL}/{sweep.id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert client.get(URL).json()["items"] == []
        assert not settings.sweeps.sweep_dir(sweep.id).exists()
        assert problem(client.delete(f"{URL}/{sweep.id}"))["status"] == 404

    def test_what_is_queued_or_driven_is_a_conflict(
        self, client: TestClient, store: Repository, settings: ServiceSettings, spec: dict[str, object]
    ) -> None:
        play(store, settings.sweeps, finish=False)
        client.post(URL, json=spec)
        for sweep in client.get(URL).json()["items"]:
            refused = problem(client.delete(f"{URL}/{sweep['id']}"))
            assert (refused["status"], refused["title"]) == (409, "Wrong state")
            assert client.get(f"{URL}/{sweep['id']}").json()["state"] == sweep["state"]
