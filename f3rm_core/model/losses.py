"""Losses over the intervals of a ray."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from f3rm_core.model.sampling import Intervals


def interlevel_loss(
    intervals: Intervals,
    weights: Tensor,  # [rays, samples]
    stages: Sequence[tuple[Intervals, Tensor]],
) -> Tensor:  # []
    """How far the proposals' histograms fail to bound the final weights. Gradient to the proposals only.

    Source: Barron et al. 2022, "Mip-NeRF 360", eq. 13.
    """
    from nerfstudio.model_components.losses import lossfun_outer

    bins, target = intervals.bins.detach(), weights.detach()
    terms = [lossfun_outer(bins, target, stage.bins, proposed).mean() for stage, proposed in stages]
    return torch.stack(terms).sum()


def distortion_loss(
    bins: Tensor,  # [rays, samples + 1], ascending
    weights: Tensor,  # [rays, samples]
) -> Tensor:  # []
    """Mean over rays of sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 length_i, m the middles.

    Source: Barron et al. 2022, eq. 15. Middles ascend, so the double sum is two running sums: linear in samples.
    """
    middles = 0.5 * (bins[:, 1:] + bins[:, :-1])
    moment = weights * middles
    weight_before = torch.cumsum(weights, -1) - weights
    moment_before = torch.cumsum(moment, -1) - moment
    between = 2 * (weights * (middles * weight_before - moment_before)).sum(-1)
    within = (weights.square() * (bins[:, 1:] - bins[:, :-1])).sum(-1) / 3
    return (between + within).mean()
