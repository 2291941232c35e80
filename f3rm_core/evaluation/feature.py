"""How close rendered features are to the extracted ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad


@dataclass(frozen=True)
class FeatureScores:
    """Scores over all patches of the held-out views.

    Args:
        cosine: mean cosine of rendered and extracted feature.
        gain: what was learned beyond the best constant feature, (cosine - c) / (1 - c); 1 is perfect, 0 is no better
            than a constant, NaN where all extracted features point the same way.
        mse: mean squared error over patches and channels, in the extractor's scale.
        constant_cosine: c, the mean cosine of the best constant feature.
    """

    cosine: float
    gain: float
    mse: float
    constant_cosine: float


def feature_scores(
    rendered: Tensor,  # [patches, channels]
    extracted: Tensor,  # [patches, channels]
) -> FeatureScores:
    """Compare rendered with extracted features.

    The constant direction d that maximises the mean of d . u_i over unit vectors u_i is their mean's, and the
    maximum is the length of that mean.
    """
    rendered, extracted = rendered.double(), extracted.double()
    directions = normalize(extracted, dim=-1)
    cosine = float((normalize(rendered, dim=-1) * directions).sum(-1).mean())
    constant = float(directions.mean(0).norm())
    gain = (cosine - constant) / (1.0 - constant) if constant < 1.0 - 1e-12 else float("nan")
    return FeatureScores(cosine, gain, float((rendered - extracted).square().mean()), constant)


def principal_colors(*maps: Tensor) -> list[Tensor]:
    """Feature maps as pictures of their three strongest directions, with one projection for all.

    Args:
        maps: each [rows, columns, channels]; the first one fixes the projection and the range of colours.

    Returns:
        For each map, [rows, columns, 3] in [0, 1].
    """
    first = maps[0].flatten(0, 1).double()
    mean = first.mean(0)
    # Singular vectors have a free sign; fixing it keeps the colours from flipping between runs.
    _, _, directions = torch.linalg.svd(first - mean, full_matrices=False)
    basis = directions[:3] * directions[:3].sum(-1, keepdim=True).sign()
    basis = pad(basis, (0, 0, 0, 3 - len(basis)))  # fewer than three patches or channels: no direction, no colour
    low, high = torch.quantile((first - mean) @ basis.T, torch.tensor([0.02, 0.98], dtype=torch.float64), dim=0)
    return [
        (((one.double() - mean) @ basis.T - low) / (high - low).clamp(min=1e-9)).clamp(0, 1).float() for one in maps
    ]
