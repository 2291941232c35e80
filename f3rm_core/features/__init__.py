"""Features of a pretrained image model, extracted once a scene and cached.

`build_extractor(settings, cache_dir)` gives an extractor, `features_of(images, extractor, cache_dir)` the
maps of a scene. Nothing here imports torch or open_clip before an extractor is built.
"""

from f3rm_core.features.cache import features_of
from f3rm_core.features.extractor import (
    FeatureExtractor,
    LanguageFeatureExtractor,
    build_extractor,
    ensure_weights,
    import_library,
    look_for_weights,
)
from f3rm_core.features.settings import FEATURE_TYPES, FeatureSettings

__all__ = [
    "FEATURE_TYPES",
    "FeatureExtractor",
    "FeatureSettings",
    "LanguageFeatureExtractor",
    "build_extractor",
    "ensure_weights",
    "features_of",
    "import_library",
    "look_for_weights",
]
