"""The small model, tabletop-mini: its shape and its short token table."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.pos_embed import get_2d_sincos_pos_embed
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from f3rm_core.features.clip import dense_features
from tools.tabletop.queries import known_words

MODEL_NAME = "tabletop-mini"
PATCH_SIZE = 8
CONFIG: dict[str, Any] = {
    "embed_dim": 96,
    "vision_cfg": {
        "image_size": 192,
        "patch_size": PATCH_SIZE,
        "width": 192,
        "layers": 6,
        "head_width": 32,
        "mlp_ratio": 2.5,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 2, "mlp_ratio": 2.0},
}
UPSCALING = 4 / 3
"""Views are enlarged by this before they are measured."""

MEAN = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
STD = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)


class TabletopModel(nn.Module):
    """An open_clip model whose token table holds the known tokens alone.

    Row 0 of the table stands for every other token, row 1 + i for `token_ids[i]`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clip = open_clip.create_model(register(CONFIG), pretrained=None)
        self._tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])
        self.token_ids = _known_tokens(self._tokenizer)
        width = CONFIG["text_cfg"]["width"]
        self.clip.token_embedding = nn.Embedding(len(self.token_ids) + 1, width)
        nn.init.normal_(self.clip.token_embedding.weight, std=0.05)
        rows = torch.zeros(CONFIG["text_cfg"]["vocab_size"], dtype=torch.long)
        rows[torch.tensor(self.token_ids)] = torch.arange(1, len(self.token_ids) + 1)
        self._rows = rows
        visual = self.clip.visual
        with torch.no_grad():  # waves are a better start than noise: neighbours are alike
            waves = get_2d_sincos_pos_embed(visual.positional_embedding.shape[1], visual.grid_size[0], cls_token=True)
            visual.positional_embedding.copy_(0.8 * torch.from_numpy(waves).float())

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [texts, channels]."""
        tokens = self._rows[self._tokenizer(list(texts))]
        return self.clip.encode_text(tokens, normalize=True)

    def dense(
        self,
        pixels: Tensor,  # [batch, 3, height, width], in 0..1
        window: Window | None = None,
    ) -> Tensor:
        """Patch features [batch, rows, columns, channels], of any length."""
        visual = self.clip.visual if window is None else WindowedVisual(self.clip.visual, window)
        return dense_features(visual, (pixels - MEAN) / STD)

    def features(self, image: NDArray[np.uint8]) -> Tensor:
        """[rows, columns, channels] of a whole view [height, width, 3]."""
        return self.dense(enlarged(image))[0]


@dataclass(frozen=True)
class Window:
    """A part of the grid of positions, stretched to the patches of a crop.

    Crops would otherwise always see the whole grid squeezed to their size, and larger images positions that no
    training step had.
    """

    corner: tuple[int, int]  # top and left, in cells of the grid
    extent: tuple[int, int]  # height and width, in cells of the grid
    patches: tuple[int, int]  # rows and columns of the crop


class WindowedVisual:
    """A vision tower that has the positions of a window in place of its own; all else is the tower's."""

    def __init__(self, visual: VisionTransformer, window: Window) -> None:
        self._visual = visual
        embedding = visual.positional_embedding
        (top, left), (height, width) = window.corner, window.extent
        grid = embedding[1:].view(*visual.grid_size, -1)[top : top + height, left : left + width]
        grid = F.interpolate(grid.permute(2, 0, 1)[None], window.patches, mode="bicubic", align_corners=False)
        self.positional_embedding = torch.cat([embedding[:1], grid[0].flatten(1).T])
        self.grid_size = window.patches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._visual, name)


def enlarged(image: NDArray[np.uint8], upscaling: float = UPSCALING) -> Tensor:
    """The view as the model is given it: [1, 3, height, width], whole patches, in 0..1."""
    height, width = (round(side * upscaling / PATCH_SIZE) * PATCH_SIZE for side in image.shape[:2])
    pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return F.interpolate(pixels, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def register(config: dict[str, Any]) -> str:
    """Makes the configuration known to open_clip; returns its name there."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{MODEL_NAME}-training.json"
        file.write_text(json.dumps(config))
        open_clip.add_model_config(file)
    return file.stem


def _known_tokens(tokenizer: open_clip.tokenizer.SimpleTokenizer) -> tuple[int, ...]:
    tokens = {0, tokenizer.sot_token_id, tokenizer.eot_token_id}
    for word in known_words():
        tokens.update(tokenizer.encode(word))
    return tuple(sorted(tokens))
