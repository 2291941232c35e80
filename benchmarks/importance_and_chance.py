"""How often importance marks a parameter that matters, and one that does not, by the number of trials.

    python -m benchmarks.importance_and_chance [--seeds 30]

Made-up sweeps of 6 parameters drawn at random. In half of them the objective is noise alone; in the others one
parameter has a large effect, one a third of it, and there is some noise.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
from optuna.distributions import FloatDistribution
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from sweeps.analysis.importance import Share, importance
from sweeps.spec.objectives import objectives_of

PARAMETERS = tuple("abcdef")
LARGE, SMALL = "d", "b"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    seeds = parser.parse_args().seeds
    columns = ["trials", "without effect, marked", "large effect, marked", "small effect, marked", "largest by chance"]
    table = Table(*columns)
    for count in tqdm((20, 50, 100), disable=None):
        noise = [_shares(count, seed, effect=False) for seed in range(seeds)]
        effect = [{share.parameter: share for share in _shares(count, seed, effect=True)} for seed in range(seeds)]
        table.add_row(
            str(count),
            f"{np.mean([share.beyond_chance for shares in noise for share in shares]):.0%}",
            f"{np.mean([shares[LARGE].beyond_chance for shares in effect]):.0%}",
            f"{np.mean([shares[SMALL].beyond_chance for shares in effect]):.0%}",
            f"share of {statistics.median(shares[0].share for shares in noise):.2f}",
        )
    Console().print(table)


def _shares(count: int, seed: int, *, effect: bool) -> list[Share]:
    random = np.random.default_rng(seed)
    parameters = {number: dict(zip(PARAMETERS, random.random(6).tolist(), strict=True)) for number in range(count)}
    results = {}
    for number, own in parameters.items():
        noise = float(random.normal())
        made_up = 0.3 * noise - 10 * (own[LARGE] - 0.7) ** 2 - 3 * (own[SMALL] - 0.2) ** 2
        results[number] = {"psnr": made_up if effect else noise}
    space = {name: FloatDistribution(0.0, 1.0) for name in PARAMETERS}
    return list(importance(objectives_of(["psnr"]), parameters, results, space).shares["psnr"])


if __name__ == "__main__":
    main()
