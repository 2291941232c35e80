"""What every feature extractor gives, and where it is built."""

from __future__ import annotations

import hashlib
import importlib
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from f3rm_core.errors import UsageError
from f3rm_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    import torch


class FeatureExtractor(ABC):
    """Turns images into maps of features, one feature vector a patch.

    What `identity` holds decides the result: two extractors with the same identity give the same maps. On the
    CPU the maps are the same bits for any number of threads and any batch.
    """

    name: str
    """For people: the model and where its weights come from."""
    channels: int
    patch_size: int
    """Pixels of the resized image that one cell of the map covers, along each side."""
    batch_size: int
    """How many images `extract` is best given at once."""
    feature_image_size: int

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, object]:
        """Model, weights and settings, as plain JSON values."""

    @abstractmethod
    def extract(
        self,
        images: Sequence[np.ndarray],  # each uint8 [height, width, 3], all of one size
    ) -> np.ndarray:
        """Feature maps, float16 [images, map height, map width, channels], not normalised.

        Raises:
            WeightsUnavailable: the weights can't be reached or can't be loaded.
        """

    def encode_text(self, queries: Sequence[str]) -> torch.Tensor:
        """Unit vectors in the space of the features, float32 [queries, channels], on the CPU.

        Raises:
            UsageError: the features can't be compared with text, or a query is longer than the text model reads.
            UnknownWords: the text model never saw some of the words.
        """
        raise UsageError(f"text queries: features of {self.name} can't be compared with text; use feature_type='CLIP'")

    @property
    def key(self) -> str:
        """The identity as 40 hex digits, for use in the cache's key."""
        text = json.dumps(self.identity, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()

    def map_shape(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of the feature map of an image of width x height pixels."""
        return map_shape(width, height, patch_size=self.patch_size, long_side=self.feature_image_size)


class LanguageFeatureExtractor(FeatureExtractor):
    """An extractor whose features can be compared with text."""

    @abstractmethod
    def encode_text(self, queries: Sequence[str]) -> torch.Tensor: ...


def map_shape(width: int, height: int, *, patch_size: int, long_side: int) -> tuple[int, int]:
    """Rows and columns of the feature map of an image.

    The image is resized so that its long side has about `long_side` pixels (0: not resized), each side
    rounded to the nearest whole number of patches, at least one.
    """
    scale = long_side / max(width, height) if long_side else 1.0
    rows, columns = (max(1, int(side * scale / patch_size + 0.5)) for side in (height, width))
    return rows, columns


def build_extractor(
    settings: FeatureSettings, cache_dir: Path | None = None, *, device: str | None = None
) -> FeatureExtractor:
    """The extractor that the settings ask for; its weights are read when they are first needed.

    Args:
        settings: what to extract.
        cache_dir: where the embedded weights are expanded to; None for `default_cache_dir()`.
        device: "cpu" or "cuda"; None for CUDA where there is one.

    Raises:
        InvalidParameter: no such model or weight file, or a CLIP model whose patch features can't be compared
            with text.
        WeightsUnavailable: no such weights.
    """
    if settings.feature_type == "DINO":
        return cast(FeatureExtractor, _module("dino").DinoExtractor(settings, device=device))
    return cast(FeatureExtractor, _module("clip").ClipExtractor(settings, cache_dir, device=device))


def import_library(feature_type: str) -> None:
    """Import what a kind of feature model is made with: seconds, and memory that no run in particular uses."""
    _module(feature_type.lower())


def ensure_weights(settings: FeatureSettings, cache_dir: Path | None = None) -> None:
    """Make sure, in seconds, that the weights are on this machine; downloads those that a hub has.

    Call it before trials start, so that a missing network shows once and not in every trial.

    Raises:
        InvalidParameter, WeightsUnavailable: as in `build_extractor`; or the weights can't be downloaded, or
            their file is broken.
    """
    _find_weights(settings, cache_dir).fetch()


def look_for_weights(settings: FeatureSettings, cache_dir: Path | None = None) -> str:
    """Where the weights stand, in words, for people; downloads nothing.

    Raises:
        InvalidParameter, WeightsUnavailable: as in `ensure_weights`.
    """
    where: str = _find_weights(settings, cache_dir).look()
    return where


def _find_weights(settings: FeatureSettings, cache_dir: Path | None) -> Any:
    """ClipWeights or DinoWeights."""
    if settings.feature_type == "DINO":
        return _module("dino").find_weights(settings)
    return _module("clip").find_weights(settings, cache_dir)


def _module(name: str) -> ModuleType:
    """Imports torch and open_clip or timm, whose use of torch.jit would warn users of what they can't mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(f"f3rm_core.features.{name}")
