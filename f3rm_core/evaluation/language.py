"""Text queries against dense features: relevancy, and how well it finds what was asked for.

Works on arrays of any origin: extracted features, rendered ones, real CLIP's or the embedded model's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

CANONICAL_NEGATIVES = ("object", "things", "stuff", "texture")
"""What a query competes with. Source: Kerr et al. 2023, LERF, section 3.4."""

TEMPERATURE = 0.1
"""Source: Kerr et al. 2023 (cosine similarities are multiplied by 10)."""

RELEVANT = 0.5
"""A relevancy above this means: more like the query than like any negative."""


def relevancy(
    features: Tensor,  # [..., channels], of any length
    queries: Tensor,  # [queries, channels], of any length
    negatives: Tensor,  # [negatives, channels], of any length
    temperature: float = TEMPERATURE,
) -> Tensor:
    """How much more a feature is like a query than like every negative: [..., queries], in (0, 1).

    For each negative, the softmax of (query, negative) over their cosine similarities to the feature, and then the
    minimum over the negatives. It is not one softmax over all of them, which could not exceed a share of the whole.

    Raises:
        ValueError: no negative, or a temperature that is not positive.

    Source: Kerr et al. 2023, LERF: Language Embedded Radiance Fields, section 3.4.
    """
    if len(negatives) == 0:
        raise ValueError("relevancy needs at least one negative; LERF's are CANONICAL_NEGATIVES")
    if not temperature > 0:
        raise ValueError(f"temperature={temperature}: must be positive")
    features, queries, negatives = (F.normalize(x, dim=-1) for x in (features, queries, negatives))
    positive = features @ queries.T  # [..., queries]
    strongest = (features @ negatives.T).amax(dim=-1, keepdim=True)  # [..., 1]
    # a softmax of two is a sigmoid of their difference; it falls with the negative, so the strongest gives the minimum
    return torch.sigmoid((positive - strongest) / temperature)


def upsampled(
    maps: Tensor,  # [rows, columns, queries]
    height: int,
    width: int,
) -> NDArray[np.float32]:
    """Relevancy maps at the size of the masks, bilinear: [queries, height, width]."""
    batch = maps.permute(2, 0, 1)[None].float()
    return F.interpolate(batch, size=(height, width), mode="bilinear", align_corners=False)[0].detach().cpu().numpy()


def is_localized(
    relevancy_map: NDArray[np.floating],  # [height, width]
    mask: NDArray[np.bool_],  # [height, width]
) -> bool:
    """Whether the most relevant pixel (the first of equals) lies in the mask.

    Source: Kerr et al. 2023, section 4.2, with exact masks instead of boxes.
    """
    _check_sizes(relevancy_map, mask)
    return bool(mask.flat[int(np.argmax(relevancy_map))])


def intersection_over_union(
    relevancy_map: NDArray[np.floating],  # [height, width]
    mask: NDArray[np.bool_],  # [height, width]
    threshold: float = RELEVANT,
) -> float:
    """IoU of the pixels above the threshold with the mask; 1 where both are empty."""
    _check_sizes(relevancy_map, mask)
    predicted = relevancy_map > threshold
    union = int((predicted | mask).sum())
    return int((predicted & mask).sum()) / union if union else 1.0


def mask_of(
    ids: NDArray[np.integer],  # [height, width], an object id a pixel
    object_ids: Sequence[int],
) -> NDArray[np.bool_]:
    """Where any of the objects is: [height, width]."""
    return np.isin(ids, np.asarray(object_ids))


def _check_sizes(relevancy_map: NDArray[np.floating], mask: NDArray[np.bool_]) -> None:
    if relevancy_map.shape != mask.shape or relevancy_map.ndim != 2:
        raise ValueError(
            f"a relevancy map of shape {relevancy_map.shape} does not fit a mask of shape {mask.shape}: "
            "upsample it first"
        )
