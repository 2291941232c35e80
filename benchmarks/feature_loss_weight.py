"""How feat_loss_weight trades colour against features: one training for each weight and seed.

    python -m benchmarks.feature_loss_weight --scene embedded:tabletop --preset demo_cpu --seeds 3 --out runs.jsonl

Each run is appended to --out as one JSON line when it ends, and runs that are there already are not trained again,
so an interrupted benchmark goes on. Prints a table: mean and spread (sample standard deviation) over seeds.
"""

from __future__ import annotations

import statistics
from functools import partial

from benchmarks.trainings import Runs, parameters_of, parser_of
from f3rm_core import build_config, load_scene, train

METRICS = ("psnr", "ssim", "feature_cosine", "feature_gain", "train_seconds")


def main() -> None:
    parser = parser_of(__doc__.splitlines()[0])
    parser.add_argument("--weights", type=float, nargs="+", default=[1e-5, 1e-3, 1e-1])
    arguments = parser.parse_args()
    scene, parameters = load_scene(arguments.scene), parameters_of(arguments)

    def train_one(weight: float, seed: int) -> dict[str, float]:
        config = build_config({**parameters, "feat_loss_weight": weight}, seed=seed)
        return dict(train(config, scene, budget_steps=config.max_num_iterations).metrics)

    runs = Runs(arguments.out, "feat_loss_weight", "seed")
    for seed in range(arguments.seeds):
        for weight in arguments.weights:
            runs.add((weight, seed), partial(train_one, weight, seed))
    print(
        f"{scene.location}, {arguments.preset} {' '.join(arguments.assigned)}, {arguments.seeds} seeds: mean (spread)"
    )
    print("| feat_loss_weight | " + " | ".join(METRICS) + " |")
    print("|---|" + "---|" * len(METRICS))
    for weight in arguments.weights:
        cells = [_cell([runs[weight, seed][name] for seed in range(arguments.seeds)]) for name in METRICS]
        print(f"| {weight:g} | " + " | ".join(cells) + " |")


def _cell(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.3f} ({spread:.3f})"


if __name__ == "__main__":
    main()
