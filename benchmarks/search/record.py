"""Learning curves of this project's trainer on many configurations, recorded once for the replay.

    python -m benchmarks.search.record --scene embedded:tabletop --count 128 --out runs.jsonl

Configurations are a scrambled Sobol sequence over `benchmarks.search.space`. Each is trained once and scored at every
rung; a JSON line is appended when it ends, and configurations that are there already are not trained again, so an
interrupted recording goes on. What the trainer refuses to finish is recorded with the rungs that it reached.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scipy.stats import qmc
from tqdm import tqdm

from benchmarks.search.space import SPACE, STEPS, fixed_parameters
from f3rm_core import Diverged, OutOfMemory, Report, Scene, build_config, load_scene, train
from sweeps.spec.space import CategoricalDimension, Dimension, IntDimension

METRICS = ("psnr", "ssim", "feature_cosine", "feature_gain")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="embedded:tabletop")
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    scene = load_scene(arguments.scene)
    lines = arguments.out.read_text().splitlines() if arguments.out.exists() else []
    done = {json.loads(line)["number"] for line in lines}
    for number, parameters in enumerate(tqdm(configurations(arguments.count), disable=None)):
        if number in done:
            continue
        row = {"number": number, "parameters": parameters, **_record(scene, parameters)}
        with arguments.out.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def configurations(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """The first points of a scrambled Sobol sequence, as values of the space."""
    points = qmc.Sobol(len(SPACE), seed=seed).random_base2(math.ceil(math.log2(count)))[:count]
    return [
        {name: _value(dimension, float(unit)) for (name, dimension), unit in zip(SPACE.items(), point, strict=True)}
        for point in points
    ]


def _value(dimension: Dimension, unit: float) -> Any:
    if isinstance(dimension, CategoricalDimension):
        return dimension.choices[min(int(unit * len(dimension.choices)), len(dimension.choices) - 1)]
    if isinstance(dimension, IntDimension):
        low, high = dimension.low - 0.5, dimension.high + 0.5
        value = low * (high / low) ** unit if dimension.log else low + unit * (high - low)
        return min(max(round(value), dimension.low), dimension.high)
    value = dimension.low * (dimension.high / dimension.low) ** unit
    return float(f"{value:.6g}")


def _record(scene: Scene, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics at every rung that a training reached, the seconds of training until then, and why it failed."""
    rungs: list[dict[str, Any]] = []

    def keep(report: Report) -> None:
        if report.metrics:
            metrics = {name: round(float(report.metrics[name]), 6) for name in METRICS}
            rungs.append({"step": report.step, "metrics": metrics, "seconds": round(report.seconds, 3)})

    config = build_config({**fixed_parameters(), **parameters}, seed=0)
    failure = None
    try:
        train(config, scene, budget_steps=STEPS[-1], report_steps=STEPS[:-1], threads=1, on_report=keep)
    except Diverged:
        failure = "diverged"
    except OutOfMemory:
        failure = "out_of_memory"
    return {"rungs": rungs, "failure": failure, "load": round(os.getloadavg()[0], 2)}


if __name__ == "__main__":
    main()
