"""What a person sees of the dashboard, in headless Chromium: studies, trials, pictures, and no way to delete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from sweeps.cli.service_process import running_service
from sweeps.search.study import Study, open_storage
from sweeps.settings import Settings
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.store.records import SweepRecord
from sweeps.store.repository import Repository
from tests.played import SPEC, play

BROWSER = os.environ.get("F3RM_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: install one, or set F3RM_CHROMIUM")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("shown")
    return Settings.from_environment({"F3RM_DATA_DIR": str(folder / "data"), "F3RM_CACHE_DIR": str(folder / "cache")})


@pytest.fixture(scope="module")
def sweep(settings: Settings) -> SweepRecord:
    """A played sweep that Optuna's study was told of as a driver tells it."""
    store = Repository.open(settings.store_url)
    played = play(store, settings)
    study = Study(open_storage(settings.store_url), played, check_spec(parse_spec(SPEC)), settings.artifacts_dir)
    study.reconcile(store.all_trials(played.id), store.rungs(played.id), settings.sweep_dir(played.id))
    store.close()
    return played


@pytest.fixture(scope="module")
def page(settings: Settings, sweep: SweepRecord) -> Iterator[Any]:
    """A page of a service that shows the sweep; it remembers every request that left this machine."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with running_service(settings) as service, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        made = browser.new_page(base_url=service.url, viewport={"width": 1400, "height": 1000})
        made.foreign = []
        local = (service.url, "data:", "blob:")
        made.on("request", lambda asked: asked.url.startswith(local) or made.foreign.append(asked.url))
        yield made
        browser.close()


def test_lists_the_study_under_the_sweeps_name_and_id(page: Any, sweep: SweepRecord) -> None:
    page.goto("/")
    page.get_by_text(f"{sweep.name}-{sweep.id}").wait_for()


def test_shows_each_trials_picture_and_metrics(page: Any) -> None:
    page.goto("/dashboard/studies/1/trials?numbers=2")
    page.get_by_text("feature_gain").first.wait_for()
    picture = page.locator("img[src*='/artifacts/']").first
    picture.wait_for()
    page.wait_for_function(
        "() => [...document.images].some(i => i.src.includes('/artifacts/') && i.naturalWidth === 4)"
    )
    page.get_by_text("Complete").first.wait_for()


def test_a_deletion_in_the_page_deletes_nothing(page: Any, sweep: SweepRecord) -> None:
    page.goto("/dashboard")
    page.get_by_text(f"{sweep.name}-{sweep.id}").wait_for()
    page.get_by_role("button", name="delete study").click()
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as answered:
        page.get_by_role("button", name="yes").click()
    assert answered.value.status == 405
    page.goto("/dashboard")
    page.get_by_text(f"{sweep.name}-{sweep.id}").wait_for()


def test_the_page_of_the_api_shows_the_operations(page: Any) -> None:
    page.goto("/docs")
    page.get_by_text("Ask for a sweep", exact=True).wait_for()


def test_nothing_was_asked_of_the_internet(page: Any) -> None:
    assert page.foreign == []


def test_the_pictures_are_files_of_the_store(settings: Settings) -> None:
    kept = [path for path in settings.artifacts_dir.iterdir() if path.read_bytes().startswith(b"\x89PNG")]
    assert len(kept) == 3
