"""Tables and plots of played searches.

    python -m benchmarks.search.report benchmarks/search/results/runs.jsonl.gz --plots docs

Prints, for each problem and number of workers, medians over seeds: hypervolume at several costs, and the cost at
which a share of the best was reached. Ratios to peers are medians over paired seeds with a bootstrapped 95% interval.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Array = NDArray[np.float64]
Runs = Mapping[str, Mapping[int, dict[str, Any]]]  # method -> seed -> run
OURS = "model"
COLOURS = {"model": "#c1272d", "gp": "#0000a7", "tpe": "#008176", "nsga2": "#b3a000", "random": "#808080",
           "moasha": "#8c4fb0", "moasha-shipped": "#c9a6dd", "primo": "#d98200"}  # fmt: skip
AT = (5, 10, 20, 40)
SHARES = (0.8, 0.9, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--plots", type=Path, help="folder for search-PROBLEM.png")
    arguments = parser.parse_args()
    groups = read(arguments.files)
    for (problem, workers), runs in sorted(groups.items()):
        print(f"\n### {problem}, {workers} worker{'s' if workers > 1 else ''}\n")
        print("\n".join(table(runs)))
        print()
        print("\n".join(comparison(runs)))
    if arguments.plots:
        for problem in sorted({problem for problem, _ in groups}):
            _plot(problem, {w: runs for (p, w), runs in groups.items() if p == problem}, arguments.plots)


def read(files: Iterable[Path]) -> dict[tuple[str, int], dict[str, dict[int, dict[str, Any]]]]:
    """Runs by problem and workers, then by method and seed."""
    groups: dict[tuple[str, int], dict[str, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for file in files:
        text = gzip.decompress(file.read_bytes()).decode() if file.suffix == ".gz" else file.read_text()
        for run in map(json.loads, text.splitlines()):
            groups[run["problem"], run["workers"]][run["method"]][run["seed"]] = run
    return groups


def share_at(run: Mapping[str, Any], cost: float) -> float:
    """Hypervolume reached by a cost; NaN where the run ended before, unless it had what it was after by then."""
    best = max((share for spent, share in run["curve"] if spent <= cost), default=0.0)
    return best if cost <= run["budget"] or best >= run["until"] else math.nan


def cost_to(run: Mapping[str, Any], share: float) -> float:
    """Cost at which a share of the best hypervolume was reached; infinite where it was not."""
    return next((spent for spent, reached in run["curve"] if reached >= share), math.inf)


def spent(run: Mapping[str, Any]) -> float:
    """Cost at which a run ended: its budget, or where it had what it was after."""
    curve = run["curve"]
    return float(curve[-1][0] if curve and curve[-1][1] >= run["until"] else run["budget"])


def median_cost_to(runs: Iterable[Mapping[str, Any]], share: float) -> float:
    """Median of `cost_to`; NaN where it depends on what runs would have done that were ended before their budget."""
    costs = np.array([(cost_to(run, share), spent(run), run["budget"]) for run in runs])
    at_least = np.where(np.isinf(costs[:, 0]) & (costs[:, 1] < costs[:, 2]), costs[:, 1], costs[:, 0])
    least, most = float(np.median(at_least)), float(np.median(costs[:, 0]))
    return most if least == most else math.nan


def table(runs: Runs) -> list[str]:
    """Medians over seeds, a row a method."""
    heads = ["method", "seeds", *(f"at {cost}" for cost in AT), *(f"to {share:.0%}" for share in SHARES)]
    heads += ["failed after 20", "CPU s a decision"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    order = sorted(runs, key=lambda method: (method != OURS, -_median(share_at(r, 20) for r in runs[method].values())))
    for method in order:
        played = list(runs[method].values())
        cells = [method, str(len(played))]
        cells += [_figure(_median(share_at(run, cost) for run in played), ".3f") for cost in AT]
        cells += [_figure(median_cost_to(played, share), ".1f") for share in SHARES]
        failed, later = np.sum([run["failed_after_20"] for run in played], axis=0)
        cells.append(f"{failed / later:.1%}" if later else "")
        timed = [run for run in played if "cpu_seconds" in run]
        decisions = sum(run["decisions"] for run in timed)
        cells.append(f"{sum(run['cpu_seconds'] for run in timed) / decisions:.2f}" if timed else "")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def comparison(runs: Runs) -> list[str]:
    """Ours against each peer: ratios of cost over paired seeds, and where it is below beyond the interval."""
    lines = []
    for peer in sorted(set(runs) - {OURS}) if OURS in runs else []:
        seeds = sorted(set(runs[OURS]) & set(runs[peer]))
        parts = []
        for share in SHARES:
            ratios = np.array([_ratio(runs[OURS][seed], runs[peer][seed], share) for seed in seeds])
            came = int(np.isfinite(ratios).sum())
            if came <= len(seeds) / 2:
                parts.append(f"{share:.0%} reached by ours in {came} of {len(seeds)}")
                continue
            low, high = _interval(ratios)
            at_most = any(math.isinf(cost_to(runs[peer][seed], share)) for seed in seeds)
            figures = f"{np.median(ratios):.2f} times its cost ({low:.2f} to {high:.2f})"
            parts.append(f"{share:.0%} {'at no more than' if at_most else 'at'} {figures}")
        below = _below(runs, peer, seeds)
        parts.append(f"significantly below it at {below}" if below else "nowhere significantly below it")
        lines.append(f"- against {peer}, {len(seeds)} paired seeds: {'; '.join(parts)}")
    return lines


def _ratio(ours: Mapping[str, Any], peers: Mapping[str, Any], share: float) -> float:
    """Of costs; a peer that never came there has spent at least what it spent. Infinite where ours did not."""
    return cost_to(ours, share) / min(cost_to(peers, share), spent(peers))


def _below(runs: Runs, peer: str, seeds: list[int]) -> str:
    """Costs, in whole units, at which the 95% interval of the mean paired difference lies below 0."""
    found = []
    for cost in range(1, 61):
        differences = np.array([_difference(runs[OURS][seed], runs[peer][seed], cost) for seed in seeds])
        differences = differences[~np.isnan(differences)]
        if len(differences) > 2:
            error = differences.std(ddof=1) / math.sqrt(len(differences))
            if differences.mean() + student.ppf(0.975, len(differences) - 1) * error < -1e-9:
                found.append(cost)
    return ", ".join(map(str, found))


def _difference(ours: Mapping[str, Any], peers: Mapping[str, Any], cost: float) -> float:
    """Of hypervolumes at a cost; beyond the share at which one of the two was ended they count as equal."""
    end = min(ours["until"], peers["until"])
    return min(share_at(ours, cost), end) - min(share_at(peers, cost), end)


def _interval(values: Array, draws: int = 4000) -> tuple[float, float]:
    """95% of the median, by the bootstrap."""
    random = np.random.default_rng(0)
    medians = np.sort(np.median(random.choice(values, (draws, len(values))), axis=1))
    return float(medians[int(0.025 * draws)]), float(medians[int(0.975 * draws)])


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.median(known)) if known else math.nan


def _figure(value: float, how: str) -> str:
    return "" if math.isnan(value) else "not reached" if math.isinf(value) else format(value, how)


def _plot(problem: str, by_workers: Mapping[int, Runs], folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(by_workers), figsize=(5.2 * len(by_workers), 3.8), sharey=True, squeeze=False)
    costs = np.linspace(0.5, 60, 240)
    for axis, (workers, runs) in zip(axes[0], sorted(by_workers.items()), strict=True):
        for method in sorted(runs, key=lambda name: name == OURS):
            shares = np.array([[share_at(run, cost) for cost in costs] for run in runs[method].values()])
            enough = np.isfinite(shares).sum(axis=0) > len(shares) / 2
            middle, low, high = np.nanquantile(shares[:, enough], [0.5, 0.25, 0.75], axis=0)
            width, colour = 2.4 if method == OURS else 1.4, COLOURS[method]
            label = f"{method}, {len(shares)} seed{'s' if len(shares) > 1 else ''}"
            axis.plot(costs[enough], middle, color=colour, linewidth=width, label=label)
            axis.fill_between(costs[enough], low, high, color=colour, alpha=0.12, linewidth=0)
        axis.set(xlabel="compute spent, in full evaluations", xlim=(0, 60), ylim=(0, 1.02))
        axis.set_title(f"{problem}, {workers} worker{'s' if workers > 1 else ''}", fontsize=10)
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, loc="lower right")
    axes[0][0].set_ylabel("hypervolume of full results / best")
    figure.tight_layout()
    figure.savefig(folder / f"search-{problem}.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
