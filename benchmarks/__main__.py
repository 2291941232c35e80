"""Every speed that the documentation states, measured here and now: a table of ratios.

    python -m benchmarks [--repeats 3] [--threads 2] [--steps 20]

Each row compares two programs on this machine in this run. Processes of the two alternate, so that both see the same
load; a row's figures are medians over the repeats. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from tqdm import tqdm


@dataclass(frozen=True)
class Row:
    """One comparison.

    Args:
        what: the work.
        unit: of the two figures.
        other: what a user would run instead.
        this: this project.
        ratio: how many times better this project is.
        target: the least that it must be.
    """

    what: str
    unit: str
    other: float
    this: float
    ratio: float
    target: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    sections = [
        lambda: _steps("default", "always", arguments, target=8.0, memory=True),
        lambda: _steps("default", "scheduled", arguments, target=8.0),
        lambda: _steps("small", "always", arguments, target=6.0),
        lambda: _steps("small", "scheduled", arguments, target=6.0),
        lambda: _side_by_side(arguments),
        lambda: _grids(arguments),
    ]
    rows = [row for section in tqdm(sections, desc="benchmarks", disable=None) for row in section()]
    Console().print(_table(rows))


def _steps(
    config: str, updates: str, arguments: argparse.Namespace, *, target: float, memory: bool = False
) -> list[Row]:
    """A whole training step of 1024 rays against the one from nerfstudio's torch parts."""
    options = ["--config", config, "--proposal-updates", updates]
    options += ["--threads", str(arguments.threads), "--steps", str(arguments.steps)]
    pairs = [
        (_run("baseline_step", *options), _run("step", *options)) for _ in tqdm(range(arguments.repeats), leave=False)
    ]
    name = f"step, {config}, proposals {'at every step' if updates == 'always' else 'on schedule'}"
    rows = [_row(name, "ms", [(1e3 * a["seconds_per_step"], 1e3 * b["seconds_per_step"]) for a, b in pairs], target)]
    if memory:
        rows.append(_row(f"peak memory, {config}", "GB", [(a["peak_rss_gb"], b["peak_rss_gb"]) for a, b in pairs], 2.0))
    return rows


def _side_by_side(arguments: argparse.Namespace) -> list[Row]:
    """Steps a second of two trials of one thread each, and of one trial of two threads."""
    pairs = []
    for _ in range(arguments.repeats):
        options = ["--config", "small", "--steps", str(5 * arguments.steps)]
        alone = _run("step", *options, "--threads", "2")
        both = [_start("step", *options, "--threads", "1") for _ in range(2)]
        pairs.append((1.0 / alone["seconds_per_step"], sum(1.0 / _end(one)["seconds_per_step"] for one in both)))
    other, this = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    return [Row("two trials of 1 thread against one of 2", "steps/s", other, this, ratio, 1.3)]


def _grids(arguments: argparse.Namespace) -> list[Row]:
    """Hash grids alone, forward and backward, against nerfstudio's torch HashEncoding."""
    rows = _run("encodings", "--json", "--threads", str(arguments.threads))["rows"]
    targets = {"radiance": 15.0, "feature": 30.0}
    return [
        Row(f"{row['grid']} grid", "ms", row["nerfstudio_total_ms"], row["total_ms"], row["ratio"], target)
        for row in rows
        if (target := targets.get(row["grid"])) is not None
    ]


def _row(what: str, unit: str, pairs: list[tuple[float, float]], target: float) -> Row:
    other, this = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Row(what, unit, other, this, statistics.median(a / b for a, b in pairs), target)


def _run(module: str, *options: str) -> dict[str, Any]:
    return _end(_start(module, *options))


def _start(module: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _end(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate()
    if process.returncode:
        sys.exit(f"{process.args} failed:\n{errors[-2000:]}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def _table(rows: list[Row]) -> Table:
    table = Table("work", "", "instead", "this", "ratio", "at least", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        digits = 2 if row.unit == "GB" else 1
        figures = (f"{row.other:.{digits}f}", f"{row.this:.{digits}f}", f"{row.ratio:.3g}", f"{row.target:g}")
        table.add_row(row.what, row.unit, *figures)
    return table


if __name__ == "__main__":
    main()
