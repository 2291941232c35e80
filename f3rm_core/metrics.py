"""What a training run is scored by: each metric owns its direction and its unit. Plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Direction = Literal["maximize", "minimize"]
Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Metric:
    """One figure that a training run reports.

    `reference` and `ideal` make hypervolumes of different sweeps comparable: they depend on nothing that a sweep
    found. A result no better than the reference counts for nothing; any useful training beats it. For a plain ratio
    the two are its bounds. PSNR has no upper bound: 40 dB is more than radiance fields reach on photographs, and more
    than that counts more than 1. Costs have a logarithmic scale, from far more than anyone would pay to the least that
    is worth telling apart: half the time is then the same gain at ten seconds as at ten hours, where on a linear scale
    up to a week every short training would look free.

    Args:
        name: its name, everywhere.
        direction: which way is better.
        unit: the unit, "1" for a plain ratio.
        description: one sentence for a table.
        reference: the value that scores 0.
        ideal: the value that scores 1.
        scale: how values in between score.

    Raises:
        ValueError: the ideal is not better than the reference, or the scale does not fit them.
    """

    name: str
    direction: Direction
    unit: str
    description: str
    reference: float = 0.0
    ideal: float = 1.0
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        better = self.ideal > self.reference if self.direction == "maximize" else self.ideal < self.reference
        if not better:
            raise ValueError(f"{self.name}: ideal={self.ideal:g} must be better than reference={self.reference:g}")
        if self.scale == "log" and (self.direction == "maximize" or self.ideal <= 0):
            raise ValueError(f"{self.name}: a logarithmic scale is for a cost with an ideal above 0")

    def score(self, value: float) -> float:
        """Where a value lies between the reference (0) and the ideal (1); below 0 where it is worse than the reference.

        On a linear scale what is better than the ideal scores more than 1; on a logarithmic one it scores 1, as a cost
        may be measured as 0.
        """
        if self.scale == "linear":
            return (value - self.reference) / (self.ideal - self.reference)
        return math.log(max(value, self.ideal) / self.reference) / math.log(self.ideal / self.reference)


_ALL = (
    Metric(
        "psnr",
        "maximize",
        "dB",
        "Peak signal-to-noise ratio of held-out views, mean over images.",
        reference=10.0,
        ideal=40.0,
    ),
    Metric("ssim", "maximize", "1", "Structural similarity of held-out views, mean over images."),
    Metric(
        "lpips",
        "minimize",
        "1",
        "Learned perceptual distance; given only where its weights are at hand.",
        reference=1.0,
        ideal=0.0,
    ),
    Metric(
        "feature_cosine",
        "maximize",
        "1",
        "Cosine of the feature rendered through each patch's centre and the extracted one.",
    ),
    Metric(
        "feature_gain",
        "maximize",
        "1",
        "Share of the cosine that the best constant feature leaves open: (cos - c) / (1 - c).",
    ),
    Metric(
        "feature_mse",
        "minimize",
        "1",
        "Mean squared error of features; depends on the extractor's scale.",
        reference=100.0,  # more than the mean square of the features of any extractor that we know
        ideal=1e-6,
        scale="log",
    ),
    Metric(
        "train_seconds",
        "minimize",
        "s",
        "Time in training steps, without set-up and evaluation.",
        reference=7 * 86400.0,
        ideal=1.0,
        scale="log",
    ),
    Metric(
        "render_seconds",
        "minimize",
        "s",
        "Time to render one held-out view, mean over views.",
        reference=3600.0,
        ideal=0.001,
        scale="log",
    ),
    Metric(
        "peak_memory_gb",
        "minimize",
        "GB",
        "Peak private memory of this run, above its process's start (1e9 B).",
        reference=1000.0,  # no accelerator has it
        ideal=0.01,
        scale="log",
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
