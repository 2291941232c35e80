"""A picture of one held-out view: truth, render, depth, and the features' main directions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from f3rm_core.evaluation.evaluate import View
from f3rm_core.evaluation.feature import principal_colors
from f3rm_core.files import write_whole

_GAP = 6  # pixels
_CAPTION = 18  # pixels
_SHORTEST_SIDE = 180  # pixels that a tile has at least


def save_panel(view: View, path: Path) -> None:
    """Write a PNG: truth | render | depth | features extracted | features rendered, captioned.

    Raises:
        UsageError: the file can't be written; nothing of it is left.
    """
    extracted, rendered = principal_colors(view.extracted, view.rendered)
    tiles = {
        "truth": view.truth,
        "render": view.render,
        "depth": depth_colors(view.depth),
        "features": extracted,
        "features rendered": rendered,
    }
    height, width = view.truth.shape[:2]
    scale = max(1, -(-_SHORTEST_SIDE // min(height, width)))
    size = (width * scale, height * scale)
    panel = Image.new("RGB", (len(tiles) * (size[0] + _GAP) + _GAP, size[1] + _CAPTION + 2 * _GAP), "white")
    draw = ImageDraw.Draw(panel)
    font = ImageFont.load_default(13)
    for index, (caption, tile) in enumerate(tiles.items()):
        left = _GAP + index * (size[0] + _GAP)
        # Patches keep their edges: a smoothed feature map would look finer than it is.
        sampling = Image.Resampling.NEAREST if "features" in caption else Image.Resampling.BICUBIC
        panel.paste(_image(tile).resize(size, sampling), (left, _CAPTION + _GAP))
        draw.text((left, _GAP // 2), caption, fill="black", font=font)
    content = io.BytesIO()
    panel.save(content, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())


def depth_colors(depth: Tensor) -> Tensor:  # [height, width] -> [height, width, 3] in [0, 1]
    """Near is bright. By disparity, so that the far background does not take the whole range."""
    import matplotlib

    disparity = 1.0 / depth.clamp(min=1e-6)
    low, high = torch.quantile(disparity.flatten(), torch.tensor([0.02, 0.98], device=depth.device))
    shade = ((disparity - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    colors = matplotlib.colormaps["magma"](shade.cpu().numpy())[..., :3]
    return torch.from_numpy(np.ascontiguousarray(colors, dtype=np.float32))


def _image(tile: Tensor) -> Image.Image:
    return Image.fromarray((tile.cpu().numpy() * 255.0 + 0.5).astype(np.uint8))
