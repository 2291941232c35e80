"""What all trials on a scene share: its images and feature maps, made once a machine. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from f3rm_core.features import FeatureSettings, build_extractor, features_of
from f3rm_core.scenes.images import scene_images
from f3rm_core.scenes.load import Scene

if TYPE_CHECKING:
    from f3rm_core.config import F3RMTrainerConfig, FeatureDataManagerConfig


@dataclass(frozen=True)
class SceneData:
    """A scene's arrays, in the order of its images; memory-mapped where cached.

    Args:
        images: uint8 [images, height, width, 3].
        features: float16 [images, rows, columns, channels].
    """

    images: np.ndarray
    features: np.ndarray

    @property
    def private_bytes(self) -> int:
        """Of the arrays that are not mapped: each process that opens them holds its own."""
        return sum(one.nbytes for one in (self.images, self.features) if not isinstance(one, np.memmap))


def open_scene(scene: Scene, config: FeatureDataManagerConfig) -> SceneData:
    """A scene's images and feature maps, from the cache or made now, with a progress bar on a terminal.

    Raises:
        WeightsUnavailable: the feature model's weights can't be reached.
        UsageError: the cache folder can't be written.
    """
    settings = FeatureSettings(
        feature_type=config.feature_type,
        clip_model=config.clip_model,
        clip_pretrained=config.clip_pretrained,
        dino_model=config.dino_model,
        dino_pretrained=config.dino_pretrained,
        feature_image_size=config.feature_image_size,
        enable_cache=config.enable_cache,
    )
    paths = [scene.folder / name for name in scene.images]
    extractor = build_extractor(settings, config.cache_dir)
    features = features_of(paths, extractor, config.cache_dir, enable_cache=config.enable_cache)
    scale = config.camera_res_scale_factor
    return SceneData(scene_images(paths, scale, config.cache_dir, enable_cache=config.enable_cache), features)


def prepare_scene(config: F3RMTrainerConfig, scene: Scene) -> None:
    """Read a scene's images and extract its features now, so that trials find them in the cache.

    Raises:
        WeightsUnavailable: the feature model's weights can't be reached.
        UsageError: the cache folder can't be written.
    """
    if config.pipeline.datamanager.enable_cache:
        open_scene(scene, config.pipeline.datamanager)
