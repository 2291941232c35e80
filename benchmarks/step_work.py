"""The work of one training step, the same for the baseline and for this trainer: sizes, rays, targets, timing."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor

IMAGES = 50
WARM_UP_STEPS = 3
AFTER_WARM_UP = 10_000
"""A step number at which the schedule of proposal updates has reached its lasting rate."""


@dataclass(frozen=True)
class Work:
    """Sizes of a configuration, by documented names; what is absent has F3RM's default.

    Args:
        parameters: of model and sampling.
        channels: of the features.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    channels: int = 768


WORK = {
    "default": Work(),
    "small": Work(
        {
            "log2_hashmap_size": 15,
            "num_levels": 8,
            "max_res": 512,
            "num_proposal_samples_per_ray": (64, 32),
            "num_nerf_samples_per_ray": 24,
            "feat_num_levels": 8,
            "feat_log2_hashmap_size": 15,
            "feat_features_per_level": 4,
        },
        channels=512,
    ),
}
"""F3RM's documented defaults, and a configuration for a laptop."""


@dataclass(frozen=True)
class Batch:
    """One step's input.

    Args:
        origins: [rays, 3], about the scene's centre.
        directions: [rays, 3], unit length.
        images: [rays], the image that each ray is of.
        colors: [rays, 3], to be rendered.
        features: [rays, channels], to be rendered.
    """

    origins: Tensor
    directions: Tensor
    images: Tensor
    colors: Tensor
    features: Tensor

    def rays(self) -> RayBundle:
        """The rays as nerfstudio's models take them, from a near plane of 0.05 to a far one of 1000."""
        number = len(self.origins)
        return RayBundle(
            origins=self.origins,
            directions=self.directions,
            pixel_area=torch.full((number, 1), 1e-4),
            camera_indices=self.images[:, None],
            nears=torch.full((number, 1), 0.05),
            fars=torch.full((number, 1), 1000.0),
        )


def random_batch(rays: int, channels: int) -> Batch:
    """Rays through the whole scene with random targets: this times a step, it learns nothing of use."""
    return Batch(
        torch.randn(rays, 3) * 0.3,
        F.normalize(torch.randn(rays, 3), dim=-1),
        torch.randint(0, IMAGES, (rays,)),
        torch.rand(rays, 3),
        torch.randn(rays, channels),
    )


def arguments_of(description: str) -> argparse.Namespace:
    """The command line that both benchmarks of a step share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", choices=WORK, default="default")
    parser.add_argument("--rays", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20, help=f"timed, after {WARM_UP_STEPS} that are not")
    parser.add_argument(
        "--proposal-updates",
        choices=("always", "scheduled"),
        default="always",
        help="train the proposal networks at every step, or as rarely as a run does after its warm-up",
    )
    return parser.parse_args()


def measure(
    arguments: argparse.Namespace,
    step: Callable[[Batch], None],
    parameters: Mapping[str, int],
) -> None:
    """Time steps on random rays and print one JSON line.

    Args:
        arguments: from `arguments_of`.
        step: does one training step, from proposal sampling to the end of the optimizers' step.
        parameters: counts, by part of the model.
    """
    channels = WORK[arguments.config].channels
    seconds = []
    for _ in range(WARM_UP_STEPS + arguments.steps):
        batch = random_batch(arguments.rays, channels)
        start = time.perf_counter()
        step(batch)
        seconds.append(time.perf_counter() - start)
    timed = seconds[WARM_UP_STEPS:]
    line = {
        "config": arguments.config,
        "rays": arguments.rays,
        "threads": arguments.threads,
        "proposal_updates": arguments.proposal_updates,
        "steps": len(timed),
        "seconds_per_step": round(statistics.fmean(timed), 4),
        "median_seconds_per_step": round(statistics.median(timed), 4),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "parameters": dict(parameters),
    }
    print(json.dumps(line))


def count(module: torch.nn.Module) -> int:
    """Numbers that are trained."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
