"""How the time of a training step grows with rays, levels and table size, one at a time from the documented defaults.

    python -m benchmarks.cost_of_work [--threads 2] [--steps 8] --plot docs/performance.png

Levels and tables are changed in both grids. A slope of 1 in the plot is linear; below 1 is better.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.step import Step
from benchmarks.step_work import WARM_UP_STEPS, Work, random_batch
from f3rm_core.training.allocator import reuse_memory

SWEEPS = {
    "rays": [256, 512, 1024, 2048, 4096, 8192],
    "levels": [4, 6, 8, 12, 16],
    "table": [15, 16, 17, 18, 19, 20, 21],
}
LABELS = {"rays": "rays a step", "levels": "levels of both grids", "table": "entries of a level (2^n)"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "VALUE"), help="measure one point: what each process runs")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_measure(arguments.one[0], int(arguments.one[1]), arguments.threads, arguments.steps)))
        return
    points = [(name, value) for name, values in SWEEPS.items() for value in values]
    seconds = {point: _in_a_process(*point, arguments.threads, arguments.steps) for point in tqdm(points, disable=None)}
    for name, values in SWEEPS.items():
        print(f"| {LABELS[name]} | " + " | ".join(str(value) for value in values) + " |")
        print("|---|" + "---|" * len(values))
        print("| ms a step | " + " | ".join(f"{1e3 * seconds[name, value]:.0f}" for value in values) + " |")
        slopes = _slopes(name, values, [seconds[name, value] for value in values])
        print(f"slope between neighbours at most {max(slopes):.2f}, over all {_overall(name, values, seconds):.2f}\n")
    if arguments.plot:
        _plot(seconds, arguments.plot)


def _measure(name: str, value: int, threads: int, steps: int) -> float:  # median seconds a step
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    changed = {
        "rays": {},
        "levels": {"num_levels": value, "feat_num_levels": value},
        "table": {"log2_hashmap_size": value, "feat_log2_hashmap_size": value},
    }[name]
    work = Work(changed)
    seconds = []
    with reuse_memory():
        step = Step(work, updates="always")
        for _ in range(WARM_UP_STEPS + steps):
            batch = random_batch(value if name == "rays" else 1024, work.channels)
            start = time.perf_counter()
            step.step(batch)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[WARM_UP_STEPS:])


def _in_a_process(name: str, value: int, threads: int, steps: int) -> float:
    """A process for each point: no point pays for the memory that another left."""
    options = ["--one", name, str(value), "--threads", str(threads), "--steps", str(steps)]
    command = [sys.executable, "-m", "benchmarks.cost_of_work", *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(ended.stdout.splitlines()[-1]))


def _amount(name: str, value: int) -> float:
    return 2.0**value if name == "table" else float(value)


def _slopes(name: str, values: list[int], seconds: list[float]) -> list[float]:
    """Of the logarithms, between neighbours."""
    pairs = zip(zip(values, seconds, strict=True), zip(values[1:], seconds[1:], strict=True), strict=False)
    return [math.log(t2 / t1) / math.log(_amount(name, v2) / _amount(name, v1)) for (v1, t1), (v2, t2) in pairs]


def _overall(name: str, values: list[int], seconds: dict[tuple[str, int], float]) -> float:
    ends = [values[0], values[-1]]
    return _slopes(name, ends, [seconds[name, value] for value in ends])[0]


def _plot(seconds: dict[tuple[str, int], float], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, 3, sharey=True), SWEEPS.items(), strict=True):
        amounts = [_amount(name, value) for value in values]
        times = [1e3 * seconds[name, value] for value in values]
        linear = [times[-1] * amount / amounts[-1] for amount in amounts]
        axes.loglog(amounts, linear, color="#b8bec6", linestyle="--", label="linear")
        axes.loglog(amounts, times, color="#2f6db3", marker="o", label="measured")
        axes.set_xticks(amounts, [f"2^{value}" if name == "table" else str(value) for value in values])
        axes.minorticks_off()
        axes.set_xlabel(LABELS[name])
        axes.set_ylim(
            0.4 * min(1e3 * one for one in seconds.values()), 1.5 * max(1e3 * one for one in seconds.values())
        )
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("ms a step")
    figure.axes[0].legend(frameon=False)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
