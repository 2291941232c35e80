"""The feature maps of a scene: which model, which images, from the cache or extracted. Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from f3rm_core.features import FeatureSettings, build_extractor, features_of
from f3rm_core.scenes.load import Scene

if TYPE_CHECKING:
    from f3rm_core.config import F3RMTrainerConfig, FeatureDataManagerConfig


def scene_features(scene: Scene, config: FeatureDataManagerConfig, *, progress: bool | None = None) -> np.ndarray:
    """Feature maps of all images of a scene, in its order.

    Args:
        progress: show a progress bar; None: on a terminal.

    Returns:
        float16 [images, rows, columns, channels], memory-mapped where cached.

    Raises:
        WeightsUnavailable: the feature model's weights can't be reached.
    """
    settings = FeatureSettings(
        feature_type=config.feature_type,
        clip_model=config.clip_model,
        clip_pretrained=config.clip_pretrained,
        feature_image_size=config.feature_image_size,
        enable_cache=config.enable_cache,
    )
    extractor = build_extractor(settings, config.cache_dir)
    images = [scene.folder / name for name in scene.images]
    return features_of(images, extractor, config.cache_dir, progress, enable_cache=config.enable_cache)


def ensure_features(config: F3RMTrainerConfig, scene: Scene) -> None:
    """Extract and cache a scene's features now, with a progress bar, so that trials find them.

    Raises:
        WeightsUnavailable: the feature model's weights can't be reached.
        UsageError: the cache folder can't be written.
    """
    if config.pipeline.datamanager.enable_cache:
        scene_features(scene, config.pipeline.datamanager)
