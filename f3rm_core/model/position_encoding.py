"""Positions as waves of several lengths."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor


def positional_encoding(
    points: Tensor,  # [points, 3]
    frequencies: int,
) -> Tensor:  # [points, 6 * frequencies]
    """sin and cos of 2^k pi x for k below frequencies. Source: Mildenhall et al. 2020, eq. 4."""
    bands = 2.0 ** torch.arange(frequencies, device=points.device, dtype=points.dtype) * pi
    angles = (points[:, :, None] * bands).flatten(1)
    return torch.cat([torch.sin(angles), torch.cos(angles)], -1)
