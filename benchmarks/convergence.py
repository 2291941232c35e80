"""What the convergence rule costs: when it stops a random search, and how much was found by then.

    python -m benchmarks.convergence [--seeds 60] [--trainings 200]

Branin-Currin, two objectives in two parameters, every training of the same cost.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from f3rm_core import Metric
from sweeps.analysis.hypervolume import GrowingFront
from sweeps.search.history import Goal, RungResult, TrialHistory
from sweeps.search.stopping import Convergence, Spent, StopRules

OBJECTIVES = (Metric("branin", "maximize", "1", ""), Metric("currin", "maximize", "1", ""))
RULES = ((5.0, 0.01), (10.0, 0.01), (20.0, 0.005), (20.0, 0.01), (20.0, 0.02))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--trainings", type=int, default=200)
    arguments = parser.parse_args()
    table = Table("units", "threshold", "stops after (median)", "hypervolume (median, worst seed)")
    for units, threshold in RULES:
        runs = [_run(Convergence(units, threshold), seed, arguments.trainings) for seed in range(arguments.seeds)]
        stops, parts = zip(*runs, strict=True)
        found = f"{np.median(parts):.0%}, {min(parts):.0%}"
        table.add_row(f"{units:g}", f"{threshold:.1%}", f"{np.median(stops):g}", found)
    Console().print(table)


def _run(rule: Convergence, seed: int, trainings: int) -> tuple[int, float]:
    """After how many trainings it stops, and the hypervolume then as a part of that after all."""
    goal, rules = Goal(OBJECTIVES, {}, {}, (1,)), StopRules(convergence=rule)
    front, history, found, stop = GrowingFront(OBJECTIVES), [], [], trainings
    for number, values in enumerate(branin_currin(np.random.default_rng(seed).random((trainings, 2)))):
        metrics = dict(zip(("branin", "currin"), values.tolist(), strict=True))
        front.add(metrics)
        found.append(front.hypervolume)
        history.append(TrialHistory(number, {}, "completed", (RungResult(1, metrics, 1.0),)))
        if stop == trainings and rules.check(history, goal, Spent()) is not None:
            stop = number + 1
    return stop, found[stop - 1] / found[-1]


def branin_currin(
    points: NDArray[np.float64],  # [points, 2], in [0, 1]
) -> NDArray[np.float64]:
    """Both functions turned and scaled so that more is better and about 1 is the best. [points, 2]

    Source: Belakaria et al. 2019, as in BoTorch's BraninCurrin.
    """
    x, y = points[:, 0], points[:, 1]
    a, b = 15 * x - 5, 15 * y
    branin = (b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10
    rises = 1 - np.exp(-1 / (2 * np.clip(y, 1e-6, None)))
    currin = rises * (2300 * x**3 + 1900 * x**2 + 2092 * x + 60) / (100 * x**3 + 500 * x**2 + 4 * x + 20)
    return np.stack([1 - branin / 300, 1 - currin / 14], axis=1)


if __name__ == "__main__":
    main()
