"""How large a feature model's maps are, without loading it. Imports neither torch nor open_clip nor timm."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from f3rm_core.features.embedded import EMBEDDED_MODEL, read_header
from f3rm_core.features.settings import FeatureSettings

_DINO_CHANNELS = {"small": 384, "base": 768}


@dataclass(frozen=True)
class FeatureSize:
    """Channels of a feature, and pixels that a patch covers along a side."""

    channels: int
    patch_size: int


@lru_cache(maxsize=64)
def feature_size(settings: FeatureSettings) -> FeatureSize | None:
    """Sizes of the model that the settings name; None where open_clip has no such model.

    Raises:
        InvalidParameter: the settings name a weight file of `tabletop-mini` that is not there.
        WeightsUnavailable: that file is broken.
    """
    if settings.feature_type == "DINO":
        _, width, patch, *_ = settings.dino_model.split("_")  # such as vit_small_patch8_224_dino
        return FeatureSize(_DINO_CHANNELS[width], int(patch.removeprefix("patch")))
    if settings.clip_model == EMBEDDED_MODEL:
        file = settings.weight_file()
        assert file is not None  # this model has no tags
        config = dict(read_header(file).config)
    else:
        found = _open_clip_config(settings.clip_model)
        if found is None:
            return None
        config = found
    return FeatureSize(int(config["embed_dim"]), int(config["vision_cfg"].get("patch_size", 16)))


def _open_clip_config(model: str) -> dict[str, object] | None:
    """open_clip's description of a model, from the file that its package holds."""
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "model_configs" / f"{model.replace('/', '-')}.json"
    return dict(json.loads(file.read_text())) if file.is_file() else None
