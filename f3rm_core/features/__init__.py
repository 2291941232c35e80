"""Features of a pretrained image model, extracted once a scene and cached.

`build_extractor(settings, cache_dir)` gives an extractor, `features_of(images, extractor, cache_dir)` the
maps of a scene. Nothing here imports torch or open_clip before an extractor is built.
"""

from f3rm_core.features.cache import default_cache_dir, features_of
from f3rm_core.features.extractor import (
    FEATURE_TYPES,
    FeatureExtractor,
    FeatureSettings,
    LanguageFeatureExtractor,
    build_extractor,
    ensure_weights,
    look_for_weights,
)

__all__ = [
    "FEATURE_TYPES",
    "FeatureExtractor",
    "FeatureSettings",
    "LanguageFeatureExtractor",
    "build_extractor",
    "default_cache_dir",
    "ensure_weights",
    "features_of",
    "look_for_weights",
]
