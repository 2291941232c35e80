"""What the documentation tells a user to write and to type is accepted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from sweeps.cli.app import app
from sweeps.search.history import Goal, Start
from sweeps.search.strategies import sampler_of, strategy_of
from sweeps.spec.documents import parse_document
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.store.states import SWEEP_STATES, TRIAL_STATES

ROOT = Path(__file__).parents[1]
RUNNING = (ROOT / "docs" / "running.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_CODE = re.compile(r"```(\w*)\n(.*?)```|`(f3rm-sweeps [^`]+)`", re.DOTALL)


def specs() -> list[tuple[str, str]]:
    blocks = [(page.name, match) for page in PAGES for match in _CODE.finditer(page.read_text())]
    return [(name, match[2]) for name, match in blocks if match[1] == "yaml" and "name:" in match[2]]


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for match in _CODE.finditer(page.read_text()):
            lines = match[2].replace("\\\n", " ").splitlines() if match[1] == "sh" else [match[3] or ""]
            found += [(page.name, " ".join(line.split())) for line in lines if line.strip().startswith("f3rm-sweeps")]
    return found


@pytest.mark.parametrize(("page", "text"), specs())
def test_a_spec_is_accepted_and_searched(page: str, text: str) -> None:
    spec = parse_spec({**parse_document(text, where=page), "scene": "embedded:tabletop"})
    plan = check_spec(spec)
    if spec.kind == "search":
        goal = Goal.of(plan)
        assert isinstance(strategy_of(plan, goal, sampler_of(plan, goal), device="cpu").next([]), Start)


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_command_has_the_options_it_is_shown_with(page: str, line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = [word for word in shlex.split(line.rstrip("&"), comments=True)[1:] if word != "..."]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"{page}: {line}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = [word.split("=")[0] for word in words if word.startswith("-")]
    assert set(options) <= known | {"--help", "--debug"}, f"{page}: {line}"


def test_every_setting_that_is_read_is_described_and_no_other() -> None:
    files = [file for folder in ("f3rm_core", "sweeps", "service") for file in (ROOT / folder).rglob("*.py")]
    read = {name for file in files for name in re.findall(r'"(F3RM_[A-Z_]+)"', file.read_text())}
    described = set(re.findall(r"^\| `(F3RM_\w+)` \|", RUNNING, re.MULTILINE))
    assert described == read - {"F3RM_DRIVEN_SWEEP"}  # a mark of ours


def test_every_state_and_every_command_is_described() -> None:
    sweeps, trials = (re.findall(r"^\| `([a-z]+)` \|", part, re.MULTILINE) for part in RUNNING.split("| trial is |"))
    assert (sweeps, trials) == (list(SWEEP_STATES), list(TRIAL_STATES))
    group: Any = typer.main.get_command(app)
    lines = [line for line in RUNNING.splitlines() if line.startswith("| `f3rm-sweeps ")]
    named = {words.split()[0] for line in lines for words in re.findall(r"`(?:f3rm-sweeps )?([^`]+)`", line)}
    assert set(group.commands) <= named
