"""The command line of the benchmark."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.search.__main__ import main

WORDS = ["--problem", "branin-currin", "--method", "random", "--seeds", "1"]


def test_a_run_is_played_once_and_never_taken_for_one_of_another_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs.jsonl"

    def play(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["search", *WORDS, "--out", str(out), *words])
        main()

    play("--budget", "3")
    kept = out.read_text()
    play("--budget", "3")
    with pytest.raises(SystemExit) as ended:
        play("--budget", "9")
    assert ended.value.code == 2
    assert f"{out}: seed 0 was played with --budget 3; give another --out" in capsys.readouterr().err
    assert out.read_text() == kept
