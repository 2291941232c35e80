"""How close a rendered image is to the true one."""

from __future__ import annotations

import torch
from torch import Tensor


def psnr(
    render: Tensor,  # [height, width, 3] in [0, 1]
    truth: Tensor,  # [height, width, 3] in [0, 1]
) -> float:
    """Peak signal-to-noise ratio, dB: -10 log10 of the mean squared error. Infinite for equal images."""
    return float(-10.0 * torch.log10((render - truth).square().mean()))


def ssim(
    render: Tensor,  # [height, width, 3] in [0, 1]
    truth: Tensor,  # [height, width, 3] in [0, 1]
) -> float:
    """Structural similarity with a Gaussian window of 11 pixels (sigma 1.5), at most 1.

    Source: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity".
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    images = (image.permute(2, 0, 1)[None] for image in (render, truth))
    return float(structural_similarity_index_measure(*images, data_range=1.0))
