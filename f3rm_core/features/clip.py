"""Dense CLIP features through open_clip: patch features in the space that CLIP shares with text."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.transformer import VisionTransformer
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from f3rm_core.errors import InvalidParameter, UnknownWords, UsageError, WeightsUnavailable
from f3rm_core.features.extractor import LanguageFeatureExtractor
from f3rm_core.features.settings import FeatureSettings
from f3rm_core.features.weights import ClipWeights, find_weights, is_torchscript

__all__ = ["ClipExtractor", "dense_features", "find_weights", "resized_positions"]

_CUDA_BATCH_TOKENS = 8192  # patches of a batch on the GPU; ViT-L then needs about 1 GB beside its weights


class ClipExtractor(LanguageFeatureExtractor):
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
        self._weights = find_weights(settings, cache_dir)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        vision = self._weights.config["vision_cfg"]
        patch_size = vision.get("patch_size", 16)
        if not isinstance(patch_size, int):
            raise InvalidParameter("clip_model", settings.clip_model, "its patches are not square; take another")
        self.name = f"{settings.clip_model} ({settings.clip_pretrained})"
        self.channels = int(self._weights.config["embed_dim"])
        self.patch_size = patch_size
        self.feature_image_size = settings.feature_image_size
        self.batch_size = 2 * torch.get_num_threads() if self._device.type == "cpu" else 16

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
            "mean": list(weights.mean),
            "std": list(weights.std),
            "interpolation": weights.interpolation,
            "device": self._device.type,  # GPU and CPU round differently
        }

    def extract(
        self,
        images: Sequence[np.ndarray],  # each uint8 [height, width, 3], all of one size
    ) -> np.ndarray:
        visual = self._model.visual  # loaded before any thread asks for it
        if self._device.type == "cpu":
            # One image at a time on one thread each: the same bits for every batch and number of threads, and
            # no slower, as an image is enough work for a core.
            with _single_threaded() as workers, ThreadPoolExecutor(workers) as pool:
                maps = list(pool.map(lambda image: self._maps(visual, [image]), images))
        else:
            rows, columns = self.map_shape(images[0].shape[1], images[0].shape[0])
            step = max(1, _CUDA_BATCH_TOKENS // (rows * columns))
            maps = [self._maps(visual, images[i : i + step]) for i in range(0, len(images), step)]
        return np.concatenate(maps)

    def encode_text(self, queries: Sequence[str]) -> Tensor:
        tokenizer = self._tokenizer
        limit = int(self._model.context_length)
        for query in queries:
            self._check_query(query, limit)
        tokens = tokenizer(list(queries)).to(self._device)  # [queries, context length]
        with torch.inference_mode():
            return self._model.encode_text(tokens, normalize=True).float().cpu()  # [queries, channels]

    def _maps(self, visual: VisionTransformer, images: Sequence[np.ndarray]) -> np.ndarray:
        pixels = torch.stack([self._pixels(image) for image in images]).to(self._device)
        with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            maps = dense_features(visual, pixels) * self._weights.feature_scale
        return maps.to(torch.float16).cpu().numpy()

    def _pixels(self, image: np.ndarray) -> Tensor:
        """Resized to whole patches and normalised: float32 [3, height, width]."""
        rows, columns = self.map_shape(image.shape[1], image.shape[0])
        size = (columns * self.patch_size, rows * self.patch_size)
        # Pillow filters when it shrinks, and CLIP was trained on images that it had resized
        filter_ = Image.Resampling[self._weights.interpolation.upper()]
        resized = np.asarray(Image.fromarray(image).resize(size, filter_), dtype=np.float32) / 255
        mean, std = (np.asarray(value, dtype=np.float32) for value in (self._weights.mean, self._weights.std))
        return torch.from_numpy((resized - mean) / std).permute(2, 0, 1).contiguous()

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
    x = torch.cat([class_token, x], dim=1) + resized_positions(visual, rows, columns)
    x = visual.ln_pre(x)  # [batch, 1 + patches, width]
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x)
    attention = last.attn
    width = attention.embed_dim
    value = F.linear(last.ln_1(x[:, 1:]), attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
    x = visual.ln_post(attention.out_proj(value)) @ visual.proj  # [batch, patches, channels]
    return x.reshape(batch, rows, columns, -1)


def resized_positions(visual: VisionTransformer, rows: int, columns: int) -> Tensor:
    """The positional embedding for a map of rows x columns: [1 + rows * columns, width].

    As open_clip's `resize_pos_embed` does when it loads weights for another image size; the embedding itself
    at the size that the model was trained at.
    """
    embedding = visual.positional_embedding  # [1 + grid rows * grid columns, width]
    if (rows, columns) == tuple(visual.grid_size):
        return embedding
    grid = embedding[1:].reshape(1, *visual.grid_size, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([embedding[:1], grid[0].flatten(1).T])


def _load(weights: ClipWeights) -> open_clip.CLIP:
    file = weights.fetch()
    try:
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
    except MemoryError:
        raise
    except Exception as error:  # pickle, zip, shape and key errors of several libraries
        reason = " ".join(str(error).split())[:160]
        raise WeightsUnavailable(
            f"clip_pretrained={weights.pretrained!r}: {file} can't be loaded into {weights.model} "
            f"({reason}); give the weights of this model, or download them again"
        ) from error
    return model.eval().requires_grad_(False)


@contextmanager
def _single_threaded() -> Iterator[int]:
    """torch with one thread an operation; gives the number of threads it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
