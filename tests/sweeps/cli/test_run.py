"""Exit codes, errors in one line, and a light start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from f3rm_core import F3RMError, TrainingFailed, UsageError
from sweeps.cli.store import open_store
from sweeps.errors import StoreUnavailable
from sweeps.settings import Settings
from tests.sweeps.cli.conftest import Command

HEAVY = ("torch", "ray", "nerfstudio", "fastapi", "optuna", "numba", "open_clip", "matplotlib", "httpx")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list"],
        ["list", "--json"],
        ["presets", "list"],
        ["presets", "suggest", "--scene-complexity", "simple", "--gpu-memory-gb", "8"],
        ["params"],
        ["check", "high_quality"],
        ["train", "--help"],
        ["demo", "--help"],
    ],
)
def test_starts_without_the_heavy_packages(words: list[str]) -> None:
    program = (
        "import sys, json; from sweeps.cli import main; code = main(sys.argv[1:]); "
        f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    ran = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout.splitlines()[-1]) == [0, []]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "No such command 'nope'"),
        (["list", "--nope"], "--nope"),
        (["list", "--state", "lost"], "'lost' is no state; give one of queued, running"),
        (["list", "--limit", "0"], "'--limit': '0' must be greater than or equal to 1"),
        (["list", "--limit", "x"], "'--limit': 'x' must be an integer"),
        (["export", "zzz", "--trial", "-1"], "'--trial': '-1' must be greater than or equal to 0"),
        (["export", "zzz", "--format", "foo"], "'--format': 'foo' is not one of 'preset', "),
        (["params", "nosuch"], "parameter 'nosuch': no such parameter; `f3rm-sweeps params` lists them"),
        (["show"], "Missing argument"),
        (["show", "zzz"], "sweep 'zzz': no such sweep"),
        (["submit", "/no/such.yaml"], "/no/such.yaml: no such file"),
        (["export", "zzz", "--format", "onnx"], "onnx"),
        (["presets", "show", "nope"], "no such preset"),
        (["train", "--preset", "nope", "--scene", "embedded:tabletop"], "no such preset"),
        (["train", "--preset", "f3rm_default"], "--scene"),
        (["serve", "--host", "0.0.0.0"], "loopback only"),
        (["serve", "--port", "70000"], "port=70000"),
    ],
)
@pytest.mark.usefixtures("store")
def test_wrong_use_is_one_line_and_exit_code_2(command: Command, words: list[str], said: str) -> None:
    ran = command(*words)
    assert ran.code == 2
    assert ran.err.startswith("f3rm-sweeps: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("do\nit otherwise"), 2),
        (F3RMError("lost"), 1),
        (TrainingFailed("loss is NaN"), 1),
        (OSError(28, "No space left on device", "/data/f3rm.db"), 1),
        (PermissionError(13, "Permission denied", "/data"), 1),
        (ZeroDivisionError("division"), 1),
    ],
)
def test_an_error_is_one_line_with_its_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(Settings, "from_environment", fail)
    ran = command("show", "x")
    assert ran.code == code
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    if isinstance(error, OSError):
        assert str(error.filename) in ran.err


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.usefixtures("store")
def test_debug_anywhere_lets_the_traceback_through(command: Command, place: int) -> None:
    words = ["show", "zzz"]
    words.insert(place, "--debug")
    with pytest.raises(UsageError, match="zzz"):
        command(*words)


def test_an_interrupt_ends_with_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Settings, "from_environment", interrupt)
    ran = command("list")
    assert (ran.code, ran.err) == (130, "f3rm-sweeps: interrupted\n")


def test_an_interrupt_while_commands_are_imported_is_one_line() -> None:
    program = (
        "import sys, builtins; real = builtins.__import__\n"
        "def slow(name, *rest, **named):\n"
        "    if name == 'sweeps.cli.app': raise KeyboardInterrupt\n"
        "    return real(name, *rest, **named)\n"
        "from sweeps.cli import main; builtins.__import__ = slow; sys.exit(main(['list']))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "f3rm-sweeps: interrupted\n")


def test_a_misspelt_variable_is_told_and_a_strange_one_is_not(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("F3RM_DATADIR", "/nowhere")
    monkeypatch.setenv("F3RM_NOTES_OF_MINE", "1")
    ran = command("presets", "list")
    assert (ran.code, ran.err) == (
        0,
        "f3rm-sweeps: warning: F3RM_DATADIR is not read; did you mean F3RM_DATA_DIR?\n",
    )


def test_a_data_folder_that_cant_be_made(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("F3RM_DATA_DIR", str(tmp_path / "file" / "data"))
    ran = command("show", "played")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert str(tmp_path / "file") in ran.err
    with pytest.raises(StoreUnavailable, match="Not a directory"), open_store(make=True):
        pass


@pytest.mark.parametrize("words", ["presets show f3rm_default --json", "params", "presets list"])
def test_a_pipe_that_closes_early_is_passed_over_in_silence(words: str) -> None:
    program = f"{sys.executable} -c 'from sweeps.cli import main; import sys; sys.exit(main(sys.argv[1:]))'"
    reader = f"{sys.executable} -c 'import sys; sys.stdin.close()'"  # before anything is written
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {{ sleep 1; {program} {words}; }} | {reader}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_version_alone_and_before_a_command(command: Command) -> None:
    from importlib.metadata import version

    for words in (["--version"], ["--version", "list"]):
        ran = command(*words)
        assert (ran.code, ran.out, ran.err) == (0, f"{version('f3rm-sweeps')}\n", "")


@pytest.mark.parametrize("words", [[], ["presets"]])
def test_without_a_command_there_is_help_and_no_empty_error(command: Command, words: list[str]) -> None:
    ran = command(*words)
    assert ran.code == 2
    assert "Usage" in ran.out
    assert ran.err == ""
