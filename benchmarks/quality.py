"""What speed costs in quality: this trainer against one that does every step the plain way, paired by seed.

    python -m benchmarks.quality --scene DIR --set camera_res_scale_factor=0.25 --seeds 3 --out runs.jsonl

The plain trainer has the reference encoding and torch operations throughout, the feature head at every sample, and
torch's dense Adam, neither fused nor batched over tensors. Both train equally many steps from equal initial weights on
equal rays. Each run is appended to --out when it ends, and what is there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from f3rm_core import build_config, load_scene, train
from f3rm_core.model.fields import FeatureField
from sweeps.cli.train import parse_assignments
from sweeps.spec.presets import load_preset

TRAINERS = ("plain", "this")
METRICS = ("psnr", "feature_gain")
COLUMNS = (*METRICS, "train_seconds", "peak_memory_gb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="embedded:tabletop")
    parser.add_argument("--preset", default="demo_cpu")
    parser.add_argument("--set", dest="assigned", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    scene = load_scene(arguments.scene)
    parameters = {**load_preset(arguments.preset).resolved, **parse_assignments(arguments.assigned)}
    done = _read(arguments.out)
    for seed in range(arguments.seeds):
        for trainer in TRAINERS:
            if (trainer, seed) in done:
                continue
            backend = {"encoding_backend": "reference"} if trainer == "plain" else {}
            config = build_config({**parameters, **backend}, seed=seed)
            with plain_steps() if trainer == "plain" else nullcontext():
                result = train(config, scene, budget_steps=config.max_num_iterations)
            done[trainer, seed] = dict(result.metrics)
            line = {"trainer": trainer, "seed": seed, "backend": result.backend, **result.metrics}
            with arguments.out.open("a") as stream:
                stream.write(json.dumps(line) + "\n")
    print(_table(done, arguments.seeds))


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


def _table(done: dict[tuple[str, int], dict[str, float]], seeds: int) -> str:
    lines = ["| trainer | seed | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for seed in range(seeds):
        for trainer in TRAINERS:
            cells = [f"{done[trainer, seed][name]:.3f}" for name in COLUMNS]
            lines.append(f"| {trainer} | {seed} | " + " | ".join(cells) + " |")
    lines.append("")
    for name in METRICS:
        differences = [done["this", seed][name] - done["plain", seed][name] for seed in range(seeds)]
        spread = statistics.stdev(differences) if seeds > 1 else 0.0
        lines.append(f"{name}, this - plain: {statistics.fmean(differences):+.3f} (spread of the pairs {spread:.3f})")
    return "\n".join(lines)


def _read(path: Path) -> dict[tuple[str, int], dict[str, float]]:
    runs = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(run["trainer"], run["seed"]): run for run in runs}


if __name__ == "__main__":
    main()
