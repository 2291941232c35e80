"""What the benchmarks that train have in common: their arguments, and results that outlive an interruption."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweeps.cli.train import parse_assignments
from sweeps.spec.presets import load_preset


def parser_of(description: str) -> argparse.ArgumentParser:
    """Scene, preset, changed parameters, seeds, and the file of results."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--scene", default="embedded:tabletop")
    parser.add_argument("--preset", default="demo_cpu")
    parser.add_argument("--set", dest="assigned", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="a JSON line for each training; what is there is kept")
    return parser


def parameters_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The preset's parameters with the changed ones."""
    return {**load_preset(arguments.preset).resolved, **parse_assignments(arguments.assigned)}


class Runs:
    """Metrics of trainings, by what tells one from another.

    Args:
        file: gets a line when a training ends.
        keys: names of what tells trainings apart, such as "seed".
    """

    def __init__(self, file: Path, *keys: str) -> None:
        self._file, self._keys = file, keys
        lines = file.read_text().splitlines() if file.exists() else []
        self._done = {tuple(run[key] for key in keys): run for run in map(json.loads, lines)}

    def __getitem__(self, values: tuple[Any, ...]) -> Mapping[str, float]:
        return self._done[values]

    def add(self, values: tuple[Any, ...], train: Callable[[], Mapping[str, float]]) -> None:
        """Train, unless the file has it."""
        if values in self._done:
            return
        run = {**dict(zip(self._keys, values, strict=True)), **train()}
        self._done[values] = run
        with self._file.open("a") as stream:
            stream.write(json.dumps(run) + "\n")
