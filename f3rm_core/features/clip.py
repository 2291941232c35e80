"""Dense CLIP features through open_clip: patch features in the space that CLIP shares with text."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from f3rm_core.errors import InvalidParameter, UnknownWords, UsageError
from f3rm_core.features.extractor import LanguageFeatureExtractor
from f3rm_core.features.patches import PatchExtractor, resized_positions
from f3rm_core.features.settings import FeatureSettings
from f3rm_core.features.weight_files import loading
from f3rm_core.features.weights import ClipWeights, find_weights, is_torchscript

__all__ = ["ClipExtractor", "dense_features", "find_weights"]


class ClipExtractor(PatchExtractor, LanguageFeatureExtractor):
    """MaskCLIP features of an open_clip model.

    Args:
        settings: model, weights and image size.
        cache_dir: where embedded weights are expanded to; None for the default.
        device: "cpu" or "cuda"; None for CUDA where there is one.

    Raises:
        InvalidParameter, WeightsUnavailable: as `find_weights`.

    Source: Zhou et al. 2022, Extract Free Dense Labels from CLIP (MaskCLIP).
    """

    def __init__(self, settings: FeatureSettings, cache_dir: Path | None = None, *, device: str | None = None) -> None:
        super().__init__(device)
        self._weights = find_weights(settings, cache_dir)
        self.mean, self.std = self._weights.mean, self._weights.std
        self.interpolation = self._weights.interpolation
        vision = self._weights.config["vision_cfg"]
        patch_size = vision.get("patch_size", 16)
        if not isinstance(patch_size, int):
            raise InvalidParameter("clip_model", settings.clip_model, "its patches are not square; take another")
        self.name = f"{settings.clip_model} ({settings.clip_pretrained})"
        self.channels = int(self._weights.config["embed_dim"])
        self.patch_size = patch_size
        self.feature_image_size = settings.feature_image_size

    @property
    def identity(self) -> Mapping[str, object]:
        weights = self._weights
        return {
            "feature_type": "CLIP",
            "path": "MaskCLIP values, positions resized bicubic",
            "clip_model": weights.model,
            "weights": weights.content,
            "feature_image_size": self.feature_image_size,
            "feature_scale": weights.feature_scale,
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            "device": self._device.type,  # GPU and CPU round differently
        }

    def encode_text(self, queries: Sequence[str]) -> Tensor:
        tokenizer = self._tokenizer
        limit = int(self._model.context_length)
        for query in queries:
            self._check_query(query, limit)
        tokens = tokenizer(list(queries)).to(self._device)  # [queries, context length]
        with torch.inference_mode():
            return self._model.encode_text(tokens, normalize=True).float().cpu()  # [queries, channels]

    def _dense(self, pixels: Tensor) -> Tensor:
        return dense_features(self._model.visual, pixels) * self._weights.feature_scale

    def _check_query(self, query: str, limit: int) -> None:
        pieces = [
            (piece, self._tokenizer.encode(piece))
            for piece in self._tokenizer.pat.findall(self._tokenizer.clean_fn(query))
        ]
        known = self._weights.token_ids
        unknown = [piece for piece, tokens in pieces if known is not None and not known.issuperset(tokens)]
        if unknown:
            raise UnknownWords(
                f"query {query!r}: {self._weights.model} never saw {', '.join(map(repr, unknown))}; "
                "use other words, or real CLIP (clip_model='ViT-L-14-336-quickgelu')"
            )
        length = sum(len(tokens) for _, tokens in pieces)
        if length > limit - 2:  # the first and last token mark start and end
            raise UsageError(
                f"query {query!r}: {length} tokens, but {self._weights.model} reads at most {limit - 2}; shorten it"
            )

    @cached_property
    def _model(self) -> open_clip.CLIP:
        return _load(self._weights).to(self._device)

    @cached_property
    def _tokenizer(self) -> Any:
        return open_clip.get_tokenizer(self._weights.architecture)


def dense_features(
    visual: VisionTransformer,
    pixels: Tensor,  # [batch, 3, height, width], normalised, whole patches
) -> Tensor:
    """Patch features in the joint space of image and text, not normalised: [batch, rows, columns, channels].

    All blocks but the last run as they are. Of the last block's attention a patch takes its own value only,
    and the result goes through the class token's way out: ln_post and the projection; no residual, no MLP.
    """
    x = visual.conv1(pixels)  # [batch, width, rows, columns]
    batch, _, rows, columns = x.shape
    x = x.flatten(2).transpose(1, 2)  # [batch, patches, width]
    class_token = visual.class_embedding.expand(batch, 1, -1)
    # antialias as in the resize_pos_embed by which open_clip loads weights for another image size
    positions = resized_positions(visual.positional_embedding, tuple(visual.grid_size), rows, columns, antialias=True)
    x = torch.cat([class_token, x], dim=1) + positions
    x = visual.ln_pre(x)  # [batch, 1 + patches, width]
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x)
    attention = last.attn
    width = attention.embed_dim
    value = F.linear(last.ln_1(x[:, 1:]), attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
    x = visual.ln_post(attention.out_proj(value)) @ visual.proj  # [batch, patches, channels]
    return x.reshape(batch, rows, columns, -1)


def _load(weights: ClipWeights) -> open_clip.CLIP:
    file = weights.fetch()
    with loading(file, into=weights.model, parameter="clip_pretrained", value=weights.pretrained):
        if is_torchscript(file):
            model = open_clip.create_model(weights.architecture)
            with warnings.catch_warnings():  # torch.jit is deprecated, OpenAI's files are what they are
                warnings.simplefilter("ignore", FutureWarning)
                state = torch.jit.load(str(file), map_location="cpu").state_dict()
            # what archives hold beside the parameters
            extra = ("input_resolution", "context_length", "vocab_size", "attn_mask")
            model.load_state_dict({key: value for key, value in state.items() if key not in extra})
        else:
            model = open_clip.create_model(weights.architecture, pretrained=os.fspath(file))
    return model.eval().requires_grad_(False)
