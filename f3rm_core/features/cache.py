"""A scene's features: extracted once a machine, then shared by all its trials.

The key covers the bytes of every image, in order, and the extractor's identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from f3rm_core.array_cache import cached_array, default_cache_dir
from f3rm_core.errors import WeightsUnavailable
from f3rm_core.features.extractor import FeatureExtractor
from f3rm_core.files import file_digest
from f3rm_core.scenes.images import common_size, read_image

FORMAT_VERSION = 1
"""To be raised whenever the same key would come to stand for other maps."""


def features_of(
    images: Sequence[Path],
    extractor: FeatureExtractor,
    cache_dir: Path | None = None,
    progress: bool | None = None,
    *,
    enable_cache: bool = True,
) -> np.ndarray:
    """Feature maps of a scene's images, from the cache or extracted now.

    Args:
        images: image files, all of one size; the maps come in their order.
        extractor: what makes the maps.
        cache_dir: None for `default_cache_dir()`.
        progress: show a bar on stderr; None for one only on a terminal.
        enable_cache: False extracts into memory and touches no disk.

    Returns:
        float16 [images, map height, map width, channels], read-only and memory-mapped where cached.

    Raises:
        SceneError: no images, an unreadable one, or images of different sizes.
        WeightsUnavailable: the extractor's weights can't be reached or are broken.
        UsageError: the cache folder can't be written.
    """
    width, height = common_size(images)
    shape = (len(images), *extractor.map_shape(width, height), extractor.channels)
    if not enable_cache:
        return np.concatenate(list(_extract(images, extractor, shape, progress)))

    return cached_array(
        (cache_dir or default_cache_dir()) / "features",
        [FORMAT_VERSION, extractor.key, [file_digest(path) for path in images]],
        shape,
        np.float16,
        lambda: _extract(images, extractor, shape, progress),
        about={
            "format": FORMAT_VERSION,
            "extractor": dict(extractor.identity),
            "images": [image.name for image in images],
        },
    )


def _extract(
    images: Sequence[Path],
    extractor: FeatureExtractor,
    shape: tuple[int, ...],  # [images, map height, map width, channels]
    progress: bool | None,
) -> Iterator[np.ndarray]:
    """Maps, batch after batch, float16 [batch, map height, map width, channels]."""
    with tqdm(
        total=len(images),
        desc=f"features of {extractor.name}",
        unit="image",
        disable=None if progress is None else not progress,  # None: only on a terminal
    ) as bar:
        for start in range(0, len(images), extractor.batch_size):
            paths = images[start : start + extractor.batch_size]
            maps = extractor.extract([read_image(path) for path in paths])
            assert maps.shape == (len(paths), *shape[1:]), f"{extractor.name}: {maps.shape}, not {shape[1:]}"
            assert maps.dtype == np.float16, f"{extractor.name}: {maps.dtype}"
            if not np.isfinite(maps).all():
                raise WeightsUnavailable(
                    f"{extractor.name}: features of {paths[0]} or the next {len(paths) - 1} images are not "
                    "finite; the weight file is probably damaged: download it again"
                )
            yield maps
            bar.update(len(paths))
