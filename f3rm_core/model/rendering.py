"""Volume rendering: positions into the grids' cube, densities into weights, weights into pictures."""

from __future__ import annotations

import torch
from nerfstudio.field_components.activations import trunc_exp
from torch import Tensor


def sample_positions(
    origins: Tensor,  # [rays, 3]
    directions: Tensor,  # [rays, 3], unit length
    edges: Tensor,  # [rays, samples + 1], distances
) -> Tensor:  # [rays, samples, 3] in the unit cube
    """The intervals' middles, contracted."""
    middles = 0.5 * (edges[:, 1:] + edges[:, :-1])
    return contract(origins[:, None] + directions[:, None] * middles[..., None])


def contract(positions: Tensor) -> Tensor:  # [..., 3] -> [..., 3]
    """Unbounded space into the unit cube that the grids cover.

    Inside the cube of half-width 1 space is kept; outside, x goes to (2 - 1/|x|) x/|x| in the maximum norm; then
    [-2, 2] is scaled to [0, 1]. Source: Barron et al. 2022, eq. 10, with the maximum norm as in nerfacto.
    """
    # amax over three numbers: torch.linalg.norm(ord=inf) takes a quarter of a small training step.
    size = positions.abs().amax(-1, keepdim=True).clamp(min=1.0)
    return (positions * ((2.0 - 1.0 / size) / size) + 2.0) * 0.25


def weights_from_raw(
    raw: Tensor,  # [rays, samples, outputs], the first of them the logarithm of density
    edges: Tensor,  # [rays, samples + 1], distances
    average_init_density: float,
) -> Tensor:  # [rays, samples]
    """Rendering weights from a network's output; the exponential's gradient is truncated as in nerfacto."""
    density = average_init_density * trunc_exp(raw[..., 0])
    return weights_from_density(density, edges[:, 1:] - edges[:, :-1])


def weights_from_density(
    density: Tensor,  # [rays, samples], per unit of length
    lengths: Tensor,  # [rays, samples]
) -> Tensor:  # [rays, samples]
    """Share of each interval in the ray's colour: w_i = T_i (1 - exp(-density_i length_i)).

    Source: Mildenhall et al. 2020, "NeRF", eq. 3.
    """
    thickness = density * lengths
    before = torch.nn.functional.pad(torch.cumsum(thickness[:, :-1], -1), (1, 0))
    # An infinite density beside a zero length gives NaN; such an interval holds nothing.
    return torch.nan_to_num(torch.exp(-before) * -torch.expm1(-thickness))


def render_colors(
    weights: Tensor,  # [rays, samples]
    raw: Tensor,  # [rays, samples, 3], before the sigmoid
) -> Tensor:  # [rays, 3] in [0, 1]
    """Weighted sum of colours; what passes through everything shows the last sample's (nerfacto's background)."""
    colors = torch.sigmoid(raw)
    shown = (weights[..., None] * colors).sum(1)
    return shown + (1.0 - weights.sum(-1, keepdim=True)) * colors[:, -1]


def render_hidden(
    weights: Tensor,  # [rays, samples]
    hidden: Tensor,  # [rays, samples, channels], before the ReLU
) -> Tensor:  # [rays, channels]
    """Weighted sum of rectified hidden features."""
    return torch.bmm(weights[:, None], torch.relu(hidden))[:, 0]


def median_depth(
    weights: Tensor,  # [rays, samples]
    middles: Tensor,  # [rays, samples], distances
) -> Tensor:  # [rays, 1]
    """Distance at which half of the ray's light is taken."""
    reached = torch.cumsum(weights, -1)
    half = torch.full_like(reached[:, :1], 0.5)
    index = torch.searchsorted(reached, half, side="left").clamp(max=middles.shape[-1] - 1)
    return middles.gather(-1, index)
