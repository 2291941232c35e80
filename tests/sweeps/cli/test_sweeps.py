"""list, show, cancel, watch, submit and resume."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from f3rm_core import UsageError
from sweeps.cli.client import Client, NoService
from sweeps.cli.watching import watch_sweep
from sweeps.settings import Settings
from sweeps.spec.sweep import parse_spec
from sweeps.store.driving import DrivenSweep
from sweeps.store.processes import this_process
from sweeps.store.records import Process
from sweeps.store.repository import Repository
from tests.played import SPEC, play
from tests.sweeps.cli.conftest import Command


class TestList:
    def test_without_sweeps_it_says_how_to_begin(self, command: Command) -> None:
        ran = command("list")
        assert ran.code == 0
        assert "f3rm-sweeps demo" in ran.out
        assert json.loads(command("list", "--json").out) == []

    def test_newest_first_with_counts(self, command: Command, store: Repository, settings: Settings) -> None:
        first = play(store, settings)
        second, _ = store.create_sweep(parse_spec({**SPEC, "name": "second"}))
        rows = [line for line in command("list").out.splitlines() if "embedded:tabletop" in line]
        assert [row.split()[:6] for row in rows] == [
            [second.id, "second", "queued", "0/4", "0", "embedded:tabletop"],
            [first.id, "played", "completed", "4/4", "3", "1"],  # ended of planned, completed, failed
        ]
        assert [sweep["id"] for sweep in json.loads(command("list", "--json", "--limit", 1).out)] == [second.id]
        assert [sweep["id"] for sweep in json.loads(command("list", "--json", "--state", "completed").out)] == [
            first.id
        ]


@pytest.mark.parametrize("scene", ["/data/[old]/kitchen", "/data/[/old]/kitchen"])
@pytest.mark.parametrize("words", [["list"], ["show", "kitchen"]])
def test_a_path_with_brackets_is_shown_as_it_is(
    command: Command, store: Repository, words: list[str], scene: str
) -> None:
    store.create_sweep(parse_spec({**SPEC, "name": "kitchen", "scene": scene}))
    ran = command(*words)
    assert (ran.code, ran.err) == (0, "")
    assert scene in ran.out


class TestShow:
    @pytest.mark.parametrize("length", [16, 5])
    def test_by_id_or_its_beginning(self, command: Command, store: Repository, settings: Settings, length: int) -> None:
        sweep = play(store, settings)
        shown = json.loads(command("show", sweep.id[:length], "--json").out)
        assert (shown["id"], shown["state"]) == (sweep.id, "completed")
        assert [trial["metrics"].get("psnr") for trial in shown["trials"]] == [20.0, 19.0, 18.0, None]
        assert shown["spec"]["space"]["feat_loss_weight"]["high"] == 10.0
        assert shown["disk_bytes"] > 0
        assert shown["driver_seconds"] == sweep.driver_seconds

    def test_for_people(self, command: Command, store: Repository, settings: Settings) -> None:
        play(store, settings)
        out = command("show", "played").out
        assert "3 completed, 1 failed" in out
        (failed,) = (line for line in out.splitlines() if "diverged" in line)
        assert "failed (diverged): loss became NaN at step 51; lower lr" in failed
        assert "feat_loss_weight=0.01" in out

    def test_in_80_columns_ids_and_numbers_stay_whole(
        self, command: Command, store: Repository, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sweep = play(store, settings)
        monkeypatch.setattr("sweeps.cli.output.PIPE_WIDTH", 80)
        assert sweep.id in command("list").out
        for command_name in ("show", "pareto"):
            table = [line for line in command(command_name, "played").out.splitlines() if line.startswith(" ")]
            assert max(map(len, table)) <= 80
            assert any(" 0.7 " in line for line in table)  # feature_gain, whole

    def test_what_a_queued_sweep_waits_for(self, command: Command, store: Repository) -> None:
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        assert "queued      no service answers: f3rm-sweeps serve starts it" in command("show", sweep.id).out

    def test_a_configuration_under_another_seed_is_told(
        self, command: Command, store: Repository, settings: Settings
    ) -> None:
        play(store, settings, weights=[1.0, 0.1, 1.0, 1.0])
        states = [line for line in command("show", "played").out.splitlines() if "/100" in line]
        assert ["repeats trial 0)" in state for state in states] == [False, False, True, True]
        assert "failed (diverged, repeats trial 0)" in states[3]

    def test_a_name_that_several_have(self, command: Command, store: Repository) -> None:
        for seed in (0, 1):
            store.create_sweep(parse_spec({**SPEC, "search": {"seed": seed}}))
        ran = command("show", "played")
        assert ran.code == 2
        assert "2 sweeps fit" in ran.err


class TestCancel:
    def test_a_queued_sweep_at_once(self, command: Command, store: Repository) -> None:
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        assert f"sweep {sweep.id} is cancelled" in command("cancel", sweep.id).out
        assert store.get_sweep(sweep.id).state == "cancelled"

    def test_a_running_sweep_by_its_driver(self, command: Command, store: Repository, settings: Settings) -> None:
        sweep = play(store, settings, finish=False)
        assert "within seconds" in command("cancel", sweep.id).out
        assert store.get_sweep(sweep.id).cancel_requested

    def test_a_completed_sweep(self, command: Command, store: Repository, settings: Settings) -> None:
        sweep = play(store, settings)
        ran = command("cancel", sweep.id)
        assert ran.code == 2
        assert "is completed" in ran.err


class TestWatch:
    def test_lines_for_a_pipe(self, command: Command, store: Repository, settings: Settings) -> None:
        sweep = play(store, settings)
        ran = command("watch", sweep.id)
        assert ran.code == 0
        lines = ran.out.splitlines()
        assert len(lines) == 5
        assert "trial 2 completed psnr=18 feature_gain=0.7 in 12 s" in lines[2]
        assert "trial 3 failed (diverged: loss became NaN at step 51; lower lr)" in lines[3]
        assert "completed  4/4 trials  1 failed" in lines[4]

    def test_json(self, command: Command, store: Repository, settings: Settings) -> None:
        sweep = play(store, settings)
        assert json.loads(command("watch", sweep.id, "--json").out)["counts"] == {"completed": 3, "failed": 1}

    def test_a_cancelled_sweep_is_work_that_failed(self, command: Command, store: Repository) -> None:
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        store.request_cancel(sweep.id)
        ran = command("watch", sweep.id)
        assert ran.code == 1
        assert f"f3rm-sweeps resume {sweep.id}" in ran.err

    def test_a_failed_sweep_with_its_error(self, command: Command, store: Repository) -> None:
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        store.fail_sweep(sweep.id, "its driver ended with code 1: disk full")
        ran = command("watch", sweep.id)
        assert ran.code == 1
        assert "disk full" in ran.err


class TestInterrupted:
    """A sweep whose driver is dead: the process that held it has ended."""

    @pytest.fixture
    def sweep_id(self, store: Repository) -> str:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        dead = Process(machine=this_process().machine, pid=ended.pid, started=0.0)
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        driven = DrivenSweep.acquire(store.database, sweep.id, dead, lease_seconds=60.0, max_attempts=3)
        for number in range(2):
            driven.add_trial(number, parameters={}, configuration={"seed": 1}, optuna_trial=None, total_steps=100)
            driven.start_attempt(number)
        return sweep.id

    def test_its_trials_are_not_said_to_run(self, command: Command, store: Repository, sweep_id: str) -> None:
        store.settle()
        out = command("show", sweep_id).out
        assert "interrupted" in out
        assert "4 planned: 2 cut off" in out
        assert f"f3rm-sweeps resume {sweep_id} goes on with it" in out
        assert [line.split()[1:3] for line in out.splitlines() if "/100" in line] == [["cut", "off"]] * 2

    def test_watching_ends_and_says_how_to_go_on(self, command: Command, sweep_id: str) -> None:
        ran = command("watch", sweep_id)
        assert ran.code == 1
        assert f"f3rm-sweeps resume {sweep_id}" in ran.err
        assert "is being prepared" not in ran.out

    def test_patience_waits_for_someone_to_resume_it(
        self, store: Repository, sweep_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked = []

        def other_terminal(_: float) -> None:
            looked.append(store.get_sweep(sweep_id).state)
            if len(looked) == 2:
                store.request_resume(sweep_id)
            if len(looked) == 3:
                store.request_cancel(sweep_id)  # an end, so that watching ends

        monkeypatch.setattr("sweeps.cli.watching.time.sleep", other_terminal)
        assert watch_sweep(store, sweep_id, quiet=True, patience_seconds=60.0).state == "cancelled"
        assert looked == ["interrupted", "interrupted", "queued"]


@dataclass
class FakeService:
    """A service that stores what it is sent."""

    store: Repository
    url: str = "http://127.0.0.1:1"
    sent: list[dict[str, Any]] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    refusal: str = ""

    def submit(self, spec: str, *, content_type: str, idempotency_key: str | None = None) -> dict[str, Any]:
        if self.refusal:
            raise UsageError(self.refusal)
        assert content_type == "application/json"
        body = json.loads(spec)
        self.sent.append({**body, "key": idempotency_key})
        record, _ = self.store.create_sweep(parse_spec(body), idempotency_key=idempotency_key)
        return {"id": record.id, "name": record.name, "state": record.state}

    def resume(self, sweep_id: str) -> dict[str, Any]:
        self.resumed.append(sweep_id)
        return {"id": sweep_id, "state": self.store.request_resume(sweep_id).state}


@pytest.fixture
def service(store: Repository, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    fake = FakeService(store)
    monkeypatch.setattr(Client, "find", lambda *_: fake)
    return fake


@pytest.fixture
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*_: object) -> None:
        raise NoService("no service is running: start one with `f3rm-sweeps serve`")

    monkeypatch.setattr(Client, "find", find)


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(SPEC))
    return file


class TestSubmit:
    def test_sends_the_spec_and_says_what_to_do_next(
        self, command: Command, service: FakeService, spec_file: Path
    ) -> None:
        ran = command("submit", spec_file)
        assert ran.code == 0
        assert service.sent[0]["name"] == "played"
        assert "f3rm-sweeps watch" in ran.out

    def test_a_service_with_another_store_cant_be_watched_from_here(
        self, command: Command, service: FakeService, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for url in (f"sqlite:///{tmp_path}/nope/x.db", f"sqlite:///{tmp_path}/other.db"):
            monkeypatch.setenv("F3RM_STORE_URL", url)
            ran = command("submit", spec_file, "--watch")
            assert ran.code == 1
            assert f"it is not in the store {url}: set F3RM_STORE_URL" in ran.err
            Repository.open(f"sqlite:///{tmp_path}/other.db").close()

    def test_each_call_has_a_key_of_its_own_unless_given(
        self, command: Command, service: FakeService, spec_file: Path
    ) -> None:
        ids = [json.loads(command("submit", spec_file, "--json").out)["id"] for _ in range(2)]
        assert ids[0] != ids[1]
        again = [json.loads(command("submit", spec_file, "--json", "--idempotency-key", "k").out)["id"] for _ in "ab"]
        assert again[0] == again[1]

    def test_a_relative_scene_is_that_of_the_current_folder(
        self, command: Command, service: FakeService, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "room").mkdir()
        monkeypatch.chdir(tmp_path)
        spec_file.write_text(yaml.safe_dump({**SPEC, "scene": "./room"}))
        command("submit", spec_file)
        assert service.sent[0]["scene"] == str(tmp_path / "room")

    def test_a_relative_weight_file_is_that_of_the_current_folder_and_a_tag_stays(
        self, command: Command, service: FakeService, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("./w", "w.pt", "openai"):
            (tmp_path / name).touch()
            spec_file.write_text(yaml.safe_dump({**SPEC, "parameters": {"clip_pretrained": name}}))
            command("submit", spec_file)
        sent = [body["parameters"]["clip_pretrained"] for body in service.sent]
        assert sent == [str(tmp_path / "w"), str(tmp_path / "w.pt"), "openai"]

    def test_relative_preset_files_are_those_of_the_current_folder_and_names_stay(
        self, command: Command, service: FakeService, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine.yaml").touch()
        presets = ["./mine.yaml", "quick_prototype", "gone.yaml"]
        warm = {"warm_start": {"presets": presets}}
        spec_file.write_text(yaml.safe_dump({**SPEC, "base": "mine.yaml", "search": warm}))
        command("submit", spec_file)
        mine = str(tmp_path / "mine.yaml")
        assert service.sent[0]["base"] == mine
        assert service.sent[0]["search"]["warm_start"]["presets"] == [mine, "quick_prototype", "gone.yaml"]

    def test_below_a_scene_root_it_stays_as_written(
        self, command: Command, service: FakeService, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "room").mkdir()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("F3RM_SCENE_ROOT", str(tmp_path / "scenes"))
        spec_file.write_text(yaml.safe_dump({**SPEC, "scene": "room"}))
        command("submit", spec_file)
        assert service.sent[0]["scene"] == "room"

    def test_a_broken_spec_is_told_before_anything_is_sent(
        self, command: Command, service: FakeService, spec_file: Path
    ) -> None:
        spec_file.write_text("name: a\nspaec: {}\n")
        ran = command("submit", spec_file)
        assert ran.code == 2
        assert "spaec" in ran.err
        assert service.sent == []

    def test_a_refusal_of_the_service_is_passed_on(
        self, command: Command, service: FakeService, spec_file: Path
    ) -> None:
        service.refusal = "scene /x: no such folder; give a folder that holds transforms.json"
        ran = command("submit", spec_file)
        assert (ran.code, ran.err) == (2, f"f3rm-sweeps: {service.refusal}\n")

    @pytest.mark.usefixtures("no_service")
    def test_without_a_service(self, command: Command, spec_file: Path) -> None:
        ran = command("submit", spec_file)
        assert ran.code == 1
        assert "f3rm-sweeps serve" in ran.err


class TestResume:
    def test_the_running_service_does_it(self, command: Command, service: FakeService, store: Repository) -> None:
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        store.request_cancel(sweep.id)
        assert "is queued" in command("resume", sweep.id).out
        assert service.resumed == [sweep.id]

    @pytest.mark.usefixtures("no_service")
    def test_without_a_service_it_drives_by_itself(
        self, command: Command, store: Repository, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        store.request_cancel(sweep.id)
        started = []

        class Driver:
            pid = 1

            def poll(self) -> int | None:
                return None

        def start(_: Settings, sweep_id: str) -> Driver:
            started.append(sweep_id)
            store.request_cancel(sweep_id)  # an end, so that watching ends
            return Driver()

        monkeypatch.setattr("sweeps.cli.sweeps.start_driver", start)
        ran = command("resume", sweep.id)
        assert started == [sweep.id]
        assert "driver started" in ran.out
        assert ran.code == 1

    @pytest.mark.usefixtures("no_service")
    def test_a_driver_that_dies_at_once_ends_the_watching(
        self, command: Command, store: Repository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sweep, _ = store.create_sweep(parse_spec(SPEC))
        store.request_cancel(sweep.id)

        class Dead:
            pid = 1

            def poll(self) -> int | None:
                return 1

        monkeypatch.setattr("sweeps.cli.sweeps.start_driver", lambda *_: Dead())
        ran = command("resume", sweep.id)
        assert ran.code == 1
        assert "driver.log" in ran.err

    @pytest.mark.usefixtures("no_service")
    def test_a_completed_sweep_cant_be_resumed(self, command: Command, store: Repository, settings: Settings) -> None:
        ran = command("resume", play(store, settings).id)
        assert ran.code == 2
        assert "is completed" in ran.err
