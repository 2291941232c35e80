"""What speed costs in quality: this trainer against one that does every step the plain way, paired by seed.

    python -m benchmarks.quality --scene DIR --set camera_res_scale_factor=0.25 --seeds 3 --out runs.jsonl

The plain trainer has the reference encoding and torch operations throughout, the feature head at every sample, and
torch's dense Adam, neither fused nor batched over tensors. Both train equally many steps from equal initial weights on
equal rays. Each run is appended to --out when it ends, and what is there is not trained again.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from unittest import mock

import torch
from torch import Tensor

from benchmarks.trainings import Runs, parameters_of, parser_of
from f3rm_core import build_config, load_scene, train
from f3rm_core.model.fields import FeatureField

TRAINERS = ("plain", "this")
METRICS = ("psnr", "feature_gain")
COLUMNS = (*METRICS, "train_seconds", "peak_memory_gb")


def main() -> None:
    arguments = parser_of(__doc__.splitlines()[0]).parse_args()
    scene, parameters = load_scene(arguments.scene), parameters_of(arguments)

    def train_one(trainer: str, seed: int) -> dict[str, float]:
        backend = {"encoding_backend": "reference"} if trainer == "plain" else {}
        config = build_config({**parameters, **backend}, seed=seed)
        with plain_steps() if trainer == "plain" else nullcontext():
            return dict(train(config, scene, budget_steps=config.max_num_iterations).metrics)

    runs = Runs(arguments.out, "trainer", "seed")
    for seed in range(arguments.seeds):
        for trainer in TRAINERS:
            runs.add((trainer, seed), partial(train_one, trainer, seed))
    print(_table(runs, arguments.seeds))


@contextmanager
def plain_steps() -> Iterator[None]:
    """Feature head at every sample, dense Adam one tensor and one operation at a time."""

    def project_then_render(self: FeatureField, positions: Tensor, weights: Tensor) -> Tensor:  # [rays, channels]
        points = positions.reshape(-1, 3)
        hidden = self.operations.encoded_mlp(self.grid, self.hidden.weights, points, self.frequencies)
        features = self.head(torch.relu(hidden)).view(*weights.shape, -1)
        return (weights[..., None] * features).sum(1)

    adam = torch.optim.Adam

    def plain_adam(*args: object, **kwargs: object) -> torch.optim.Adam:
        return adam(*args, **{**kwargs, "fused": False, "foreach": False})

    with (
        mock.patch.object(FeatureField, "forward", project_then_render),
        mock.patch.object(torch.optim, "Adam", plain_adam),
    ):
        yield


def _table(runs: Runs, seeds: int) -> str:
    lines = ["| trainer | seed | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for seed in range(seeds):
        for trainer in TRAINERS:
            cells = [f"{runs[trainer, seed][name]:.3f}" for name in COLUMNS]
            lines.append(f"| {trainer} | {seed} | " + " | ".join(cells) + " |")
    lines.append("")
    for name in METRICS:
        differences = [runs["this", seed][name] - runs["plain", seed][name] for seed in range(seeds)]
        spread = statistics.stdev(differences) if seeds > 1 else 0.0
        lines.append(f"{name}, this - plain: {statistics.fmean(differences):+.3f} (spread of the pairs {spread:.3f})")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
