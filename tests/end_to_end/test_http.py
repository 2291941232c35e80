"""The whole path over HTTP: a real service, a real driver with Ray, real (tiny) trainings on the embedded scene.

The driver is killed in the middle, and the service goes on with the sweep.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from sweeps.cli.service_process import running_service
from sweeps.driver_process import child_environment, driver_log, module_command
from sweeps.settings import Settings
from sweeps.store.repository import Repository
from tests.conftest import TINY_PARAMETERS

pytestmark = pytest.mark.timeout(900)

TRIALS = 4
STEPS = 12
WAIT_SECONDS = 400.0
SPEC = {
    "name": "end-to-end",
    "scene": "embedded:tabletop",
    "parameters": {name: value for name, value in TINY_PARAMETERS.items() if name != "threads"},
    "space": {"feat_loss_weight": {"type": "float", "low": 1e-5, "high": 1.0, "log": True}},
    "objectives": ["psnr", "feature_gain"],
    "fidelity": {"rungs": [STEPS]},
    "budget": {"trials": TRIALS},
    "resources": {"max_concurrent": 1},
}

Get = Callable[[str], Any]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("served")
    names = {"F3RM_DATA_DIR": str(folder / "data"), "F3RM_CACHE_DIR": str(folder / "cache"), "F3RM_LEASE_SECONDS": "10"}
    return Settings.from_environment(names)


@pytest.fixture(scope="module")
def http(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service that runs in a process of its own, on a free port."""
    with (
        running_service(settings) as service,
        httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def sweep(http: httpx.Client, settings: Settings) -> dict[str, Any]:
    """A sweep whose driver was killed after its first trial, and that was completed by another."""
    posted = http.post("/api/v1/sweeps", json=SPEC, headers={"Idempotency-Key": "end-to-end"})
    assert posted.status_code == 201, posted.text
    url = posted.headers["location"]

    def until(reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found: dict[str, Any] = http.get(url).json()
            if reached(found):
                return found
            assert found["state"] != "failed", f"{found['error']}\n{driver_log(settings, found['id']).read_text()}"
            time.sleep(0.2)
        raise AssertionError(f"not reached: {found}\n{driver_log(settings, found['id']).read_text()}")

    until(lambda found: found["counts"].get("completed", 0) >= 1)
    kill_driver(settings, posted.json()["id"])
    return until(lambda found: found["state"] == "completed")


def kill_driver(settings: Settings, sweep_id: str) -> None:
    """kill -9 the driver, as the store knows it."""
    store = Repository.open(settings.store_url)
    lease = store.lease(sweep_id)
    store.close()
    assert lease is not None
    os.kill(lease.process.pid, signal.SIGKILL)


def test_every_planned_trial_has_one_result(http: httpx.Client, sweep: dict[str, Any]) -> None:
    assert sweep["counts"] == {"completed": TRIALS}
    trials = http.get(sweep["links"]["trials"]).json()["items"]
    assert [trial["number"] for trial in trials] == list(range(TRIALS))
    for trial in trials:
        assert (trial["step"], trial["total_steps"], trial["backend"]) == (STEPS, STEPS, "numba")
        assert trial["metrics"]["psnr"] > 5.0
        assert 0.0 < trial["metrics"]["feature_cosine"] <= 1.0
    assert len({trial["parameters"]["feat_loss_weight"] for trial in trials}) == TRIALS
    assert len({trial["seed"] for trial in trials}) == TRIALS


def test_what_the_killed_driver_left_is_a_recorded_attempt(http: httpx.Client, sweep: dict[str, Any]) -> None:
    outcomes = []
    for number in range(TRIALS):
        trial = http.get(f"{sweep['links']['trials']}/{number}").json()
        history = [attempt["outcome"] for attempt in trial["attempt_history"]]
        assert history[-1] == "completed"
        assert trial["attempts"] == len(history)
        outcomes += history
    assert outcomes.count("completed") == TRIALS
    assert set(outcomes) <= {"completed", "lost", "interrupted"}


def test_the_front_and_its_winner(http: httpx.Client, sweep: dict[str, Any]) -> None:
    points = http.get(sweep["links"]["pareto"]).json()["points"]
    values = {point["trial"]: (point["metrics"]["psnr"], point["metrics"]["feature_gain"]) for point in points}
    undominated = {
        trial
        for trial, mine in values.items()
        if not any(other != mine and other[0] >= mine[0] and other[1] >= mine[1] for other in values.values())
    }
    assert {point["trial"] for point in points if point["on_front"]} == undominated
    winner = http.get(sweep["links"]["winner"]).json()
    assert winner["trial"]["number"] in undominated
    assert winner["reason"]


def test_every_trial_has_a_panel_here_and_in_the_dashboard(http: httpx.Client, sweep: dict[str, Any]) -> None:
    trials = http.get(sweep["links"]["trials"]).json()["items"]
    panels = {http.get(trial["pictures"]["panel"]).content for trial in trials}
    assert len(panels) == TRIALS
    assert all(panel.startswith(b"\x89PNG") for panel in panels)

    (study,) = http.get("/api/studies").json()["study_summaries"]
    assert sweep["id"] in study["study_name"]
    shown = http.get(f"/api/studies/{study['study_id']}").json()["trials"]
    completed = [trial for trial in shown if trial["state"] == "Complete"]
    assert len(completed) == TRIALS
    artifacts = set()
    for trial in completed:
        for artifact in trial["artifacts"]:
            if artifact["mimetype"] == "image/png":
                path = f"/artifacts/{study['study_id']}/{trial['trial_id']}/{artifact['artifact_id']}"
                artifacts.add(http.get(path).content)
    assert panels <= artifacts


def test_the_dashboard_deletes_nothing(http: httpx.Client, sweep: dict[str, Any]) -> None:
    (study,) = http.get("/api/studies").json()["study_summaries"]
    assert http.delete(f"/api/studies/{study['study_id']}").status_code == 405
    assert len(http.get("/api/studies").json()["study_summaries"]) == 1


def test_the_same_key_gives_the_same_sweep_when_it_is_done(http: httpx.Client, sweep: dict[str, Any]) -> None:
    again = http.post("/api/v1/sweeps", json=SPEC, headers={"Idempotency-Key": "end-to-end"})
    assert (again.status_code, again.json()["id"]) == (200, sweep["id"])


def test_the_exported_preset_trains_to_the_same_bits(
    http: httpx.Client, sweep: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    winner = http.get(sweep["links"]["winner"]).json()["trial"]
    preset = tmp_path / "winner.yaml"
    preset.write_text(http.get(sweep["links"]["export"]).text)
    assert yaml.safe_load(preset.read_text())["parameters"]["seed"] == winner["seed"]
    words = ["train", "--preset", str(preset), "--scene", "embedded:tabletop", "--json"]
    trained = subprocess.run(
        module_command("sweeps.cli", *words),
        env=child_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr
    metrics = json.loads(trained.stdout)["metrics"]
    for name in ("psnr", "ssim", "feature_cosine", "feature_gain", "feature_mse"):
        assert metrics[name] == winner["metrics"][name], name


def test_a_second_service_of_the_same_folder_is_refused(http: httpx.Client, settings: Settings) -> None:
    second = subprocess.run(
        module_command("service"), env=child_environment(settings), capture_output=True, text=True, check=False
    )
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert str(http.base_url).rstrip("/") in second.stderr


def test_a_port_in_use_is_told_in_one_line(http: httpx.Client, settings: Settings, tmp_path: Path) -> None:
    environment = child_environment(settings) | {"F3RM_DATA_DIR": str(tmp_path), "F3RM_PORT": str(http.base_url.port)}
    del environment["F3RM_STORE_URL"]
    second = subprocess.run(
        [sys.executable, "-P", "-m", "sweeps.cli", "serve"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert f"port {http.base_url.port} on 127.0.0.1 is in use" in second.stderr
