"""A service process: its address, its end, and what it says when it can't start."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.server import AddressInUse, _bind, _refuse_second
from service.settings import ServiceSettings
from sweeps.address import forget_address, read_address, write_address
from sweeps.cli.exits import CommandFailed
from sweeps.cli.service_process import running_service
from sweeps.driver_process import child_environment, module_command
from sweeps.errors import InvalidSetting
from sweeps.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    environment = {"F3RM_DATA_DIR": str(tmp_path / "data"), "F3RM_CACHE_DIR": str(tmp_path / "cache")}
    return Settings.from_environment(environment)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_leaves_its_address_while_it_runs_and_takes_it_back(settings: Settings, ending: signal.Signals) -> None:
    environment = child_environment(settings) | {"F3RM_PORT": "0"}
    process = subprocess.Popen(
        module_command("service"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "/api/v1" in process.stdout.readline()
    url = read_address(settings.data_dir)
    assert url is not None
    while True:  # the address is there before the loop runs: the socket listens, so this waits
        if httpx.get(f"{url}/healthz", trust_env=False, timeout=60).json()["status"] == "ok":
            break
    process.send_signal(ending)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert read_address(settings.data_dir) is None


def test_running_service_starts_one_and_uses_one_that_runs(settings: Settings) -> None:
    with running_service(settings) as first, running_service(settings) as second:
        assert first.url == second.url
        assert second.answers()
    assert not first.answers()


def test_a_data_folder_that_cant_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings.from_environment({"F3RM_DATA_DIR": str(tmp_path / "file")})
    with pytest.raises(InvalidSetting, match=r"F3RM_DATA_DIR='.*/file': can't be written"), running_service(settings):
        pass


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("f3rm-sweeps: its reason", "the service did not start: its reason"),
        ("", "it left no word in .*service.log; make room there"),  # as on a full disk
    ],
)
def test_a_service_that_ends_at_once_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    command = [sys.executable, "-c", f"raise SystemExit({words!r})"]
    monkeypatch.setattr("sweeps.cli.service_process.module_command", lambda _: command)
    with pytest.raises(CommandFailed, match=said), running_service(settings):
        pass


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"F3RM_HOST": "0.0.0.0"}, 2, "loopback"),
        ({"F3RM_PORT": "none"}, 2, "F3RM_PORT='none'"),
        ({"F3RM_STORE_URL": "sqlite:////no/such/folder/f3rm.db"}, 2, "/no/such/folder"),
        ({"F3RM_STORE_URL": "nonsense"}, 2, "nonsense"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(
    settings: Settings, variables: dict[str, str], code: int, said: str
) -> None:
    if os.geteuid() == 0 and "/no/such" in said:
        variables = {"F3RM_STORE_URL": "sqlite:////proc/nothing/f3rm.db"}
        said = "/proc/nothing"
    ran = subprocess.run(
        module_command("service"),
        env=child_environment(settings) | {"F3RM_PORT": "0"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == code
    assert ran.stderr.count("\n") == 1
    assert said in ran.stderr


def test_a_port_in_use_names_the_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=str(port)):
            _bind("127.0.0.1", port)


def test_a_port_that_only_root_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(AddressInUse, match="above 1023"):
        _bind("127.0.0.1", 80)


def test_the_address_of_a_killed_service_is_no_obstacle(settings: Settings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    write_address(settings.data_dir, f"http://127.0.0.1:{port}")
    _refuse_second(ServiceSettings(settings))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"url": '])
def test_a_broken_address_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "service.json").write_text(text)
    assert read_address(tmp_path) is None


def test_only_its_own_address_is_taken_back(tmp_path: Path) -> None:
    write_address(tmp_path, "http://127.0.0.1:2")
    forget_address(tmp_path, "http://127.0.0.1:1")
    assert read_address(tmp_path) == "http://127.0.0.1:2"
