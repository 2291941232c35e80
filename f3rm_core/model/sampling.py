"""Where along a ray the fields are asked: even first, then where the proposal networks saw density.

Source: Barron et al. 2022, "Mip-NeRF 360"; the spacing and the jitter are nerfstudio's (ray_samplers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

HISTOGRAM_PADDING = 0.01
"""Added to every weight before sampling, so that no interval is starved."""


@dataclass(frozen=True)
class Intervals:
    """Consecutive intervals along each ray.

    Args:
        bins: [rays, samples + 1], borders in normalised spacing, 0 at the near plane and 1 at the far plane.
        edges: [rays, samples + 1], the same borders as distances from the origin.
    """

    bins: Tensor
    edges: Tensor

    @property
    def middles(self) -> Tensor:  # [rays, samples]
        return 0.5 * (self.edges[:, 1:] + self.edges[:, :-1])


class Spacing:
    """Distances spaced evenly up to 1 and by disparity beyond: half of the bins go to each part.

    Args:
        nears, fars: [rays, 1], distances.
    """

    def __init__(self, nears: Tensor, fars: Tensor) -> None:
        self.near, self.far = (torch.where(t < 1, t / 2, 1 - 1 / (2 * t)) for t in (nears, fars))

    def intervals(self, bins: Tensor) -> Intervals:
        spaced = bins * self.far + (1 - bins) * self.near
        edges = torch.where(spaced < 0.5, 2 * spaced, 1 / (2 - 2 * spaced))
        return Intervals(bins, edges)


def even_bins(rays: int, samples: int, *, jitter: bool, device: torch.device) -> Tensor:
    """[rays, samples + 1] even borders; jitter shifts all of a ray by the same random part of a bin."""
    bins = torch.linspace(0.0, 1.0, samples + 1, device=device).expand(rays, -1)
    if not jitter:
        return bins
    centres = 0.5 * (bins[:, 1:] + bins[:, :-1])
    upper = torch.cat([centres, bins[:, -1:]], -1)
    lower = torch.cat([bins[:, :1], centres], -1)
    return lower + (upper - lower) * torch.rand(rays, 1, device=device)


def resample(
    intervals: Intervals,
    weights: Tensor,  # [rays, intervals]
    samples: int,
    *,
    anneal: float,
    shift: Tensor,  # [rays, 1] in [0, 1), where within its share of the ray each border lies
    spacing: Spacing,
) -> Intervals:
    """Borders drawn from the piecewise constant density that `weights`^anneal describe, by inverse transform."""
    bins = intervals.bins
    padded = weights.pow(anneal) + HISTOGRAM_PADDING
    cdf = torch.cumsum(padded / padded.sum(-1, keepdim=True), -1).clamp(max=1.0)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf], -1)
    count = samples + 1
    u = (torch.arange(count, device=bins.device) + shift) / count
    index = torch.searchsorted(cdf, u, side="right")
    below = (index - 1).clamp(0, bins.shape[-1] - 1)
    above = index.clamp(0, bins.shape[-1] - 1)
    cdf_below, cdf_above = cdf.gather(-1, below), cdf.gather(-1, above)
    bin_below, bin_above = bins.gather(-1, below), bins.gather(-1, above)
    part = torch.nan_to_num((u - cdf_below) / (cdf_above - cdf_below), 0.0).clamp(0.0, 1.0)
    return spacing.intervals(bin_below + part * (bin_above - bin_below))


def sample_along_rays(
    nears: Tensor,  # [rays, 1]
    fars: Tensor,  # [rays, 1]
    proposals: Sequence[Callable[[Intervals], Tensor]],
    counts: Sequence[int],
    *,
    anneal: float,
    jitter: bool,
    with_gradients: bool,
    resample: Callable[..., Intervals] = resample,
) -> tuple[Intervals, list[tuple[Intervals, Tensor]]]:
    """Intervals for the fields, and what each proposal stage gave.

    Args:
        nears, fars: where each ray starts and ends.
        proposals: for each stage, intervals -> weights [rays, samples].
        counts: samples of each stage, and of the fields last.
        anneal: exponent of the weights before sampling; 1 leaves them, 0 makes them even.
        jitter: draw the borders at random (training) or take fixed ones.
        with_gradients: record the proposals for backward.
        resample: this module's function of that name, or its fused twin.

    Returns:
        The last intervals, and (intervals, weights) of each proposal stage.
    """
    spacing = Spacing(nears, fars)
    intervals = spacing.intervals(even_bins(len(nears), counts[0], jitter=jitter, device=nears.device))
    stages = []
    for proposal, count in zip(proposals, counts[1:], strict=True):
        with torch.set_grad_enabled(with_gradients and torch.is_grad_enabled()):
            weights = proposal(intervals)
        stages.append((intervals, weights))
        with torch.no_grad():
            shift = torch.rand_like(nears) if jitter else torch.full_like(nears, 0.5)
            intervals = resample(intervals, weights, count, anneal=anneal, shift=shift, spacing=spacing)
    return intervals, stages
