"""Losses over the intervals of a ray."""

from __future__ import annotations

import torch
from torch import Tensor


def interlevel_loss(
    bins: Tensor,  # [rays, samples + 1], ascending
    weights: Tensor,  # [rays, samples]
    proposal_bins: Tensor,  # [rays, proposal samples + 1], ascending
    proposed: Tensor,  # [rays, proposal samples]
) -> Tensor:  # []
    """How far a proposal's histogram fails to bound the final weights. Gradient to the proposal only.

    Source: Barron et al. 2022, "Mip-NeRF 360", eq. 13.
    """
    from nerfstudio.model_components.losses import lossfun_outer

    return lossfun_outer(bins, weights.detach(), proposal_bins, proposed).mean()


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
