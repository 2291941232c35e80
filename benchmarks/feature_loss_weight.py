"""How feat_loss_weight trades colour against features: one training for each weight and seed.

    python -m benchmarks.feature_loss_weight --scene embedded:tabletop --preset demo_cpu --seeds 3 --out runs.jsonl

Each run is appended to --out as one JSON line when it ends, and runs that are there already are not trained again,
so an interrupted benchmark goes on. Prints a table: mean and spread (sample standard deviation) over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from f3rm_core import build_config, load_scene, train
from sweeps.cli.train import parse_assignments
from sweeps.spec.presets import load_preset

METRICS = ("psnr", "ssim", "feature_cosine", "feature_gain", "train_seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="embedded:tabletop")
    parser.add_argument("--preset", default="demo_cpu")
    parser.add_argument("--set", dest="assigned", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--weights", type=float, nargs="+", default=[1e-5, 1e-3, 1e-1])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    scene = load_scene(arguments.scene)
    parameters = {**load_preset(arguments.preset).resolved, **parse_assignments(arguments.assigned)}
    done = {(run["feat_loss_weight"], run["seed"]): run for run in _read(arguments.out)}
    for seed in range(arguments.seeds):
        for weight in arguments.weights:
            if (weight, seed) in done:
                continue
            config = build_config({**parameters, "feat_loss_weight": weight}, seed=seed)
            result = train(config, scene, budget_steps=config.max_num_iterations)
            run = {"feat_loss_weight": weight, "seed": seed, **result.metrics}
            done[weight, seed] = run
            with arguments.out.open("a") as stream:
                stream.write(json.dumps(run) + "\n")
    print(
        f"{scene.location}, {arguments.preset} {' '.join(arguments.assigned)}, {arguments.seeds} seeds: mean (spread)"
    )
    print("| feat_loss_weight | " + " | ".join(METRICS) + " |")
    print("|---|" + "---|" * len(METRICS))
    for weight in arguments.weights:
        runs = [done[weight, seed] for seed in range(arguments.seeds)]
        cells = [_cell([run[name] for run in runs]) for name in METRICS]
        print(f"| {weight:g} | " + " | ".join(cells) + " |")


def _cell(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.3f} ({spread:.3f})"


def _read(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
