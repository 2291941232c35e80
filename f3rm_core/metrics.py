"""What a training run is scored by: each metric owns its direction and its unit. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Metric:
    """One figure that a training run reports.

    Args:
        name: its name, everywhere.
        direction: which way is better.
        unit: the unit, "1" for a plain ratio.
        description: one sentence for a table.
    """

    name: str
    direction: Direction
    unit: str
    description: str


_ALL = (
    Metric("psnr", "maximize", "dB", "Peak signal-to-noise ratio of held-out views, mean over images."),
    Metric("ssim", "maximize", "1", "Structural similarity of held-out views, mean over images."),
    Metric("lpips", "minimize", "1", "Learned perceptual distance; given only where its weights are at hand."),
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
    Metric("feature_mse", "minimize", "1", "Mean squared error of features; depends on the extractor's scale."),
    Metric("train_seconds", "minimize", "s", "Time in training steps, without set-up and evaluation."),
    Metric("render_seconds", "minimize", "s", "Time to render one held-out view, mean over views."),
    Metric("peak_memory_gb", "minimize", "GB", "Peak private memory of this run, above its process's start (1e9 B)."),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
