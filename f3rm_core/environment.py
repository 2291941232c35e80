"""What this machine offers a training run, for `f3rm-sweeps doctor`."""

from __future__ import annotations

import os
from typing import Any


def describe_environment() -> dict[str, Any]:
    """Device, encoding backend, feature weights and folders, as plain values.

    Loads torch; takes a few seconds.
    """
    import torch

    from f3rm_core.array_cache import default_cache_dir
    from f3rm_core.encodings.base import resolve_backend
    from f3rm_core.encodings.tcnn import NOT_INSTALLED, obstacle
    from f3rm_core.errors import F3RMError
    from f3rm_core.features import FeatureSettings, look_for_weights
    from f3rm_core.features.settings import DINO_HUB, DINO_MODELS
    from f3rm_core.scenes.load import embedded_scenes

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def weights(settings: FeatureSettings) -> str:
        try:
            return look_for_weights(settings)
        except F3RMError as error:
            return str(error)

    def tinycudann() -> str:
        found = obstacle()
        if found is None:
            return "installed"
        return "not installed" if found == NOT_INSTALLED else f"not usable: {found}"

    return {
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores",
        "torch": torch.__version__,
        "encoding_backend": resolve_backend("auto", device),
        "tinycudann": tinycudann(),
        "clip_weights": {
            "tabletop-mini (embedded)": weights(
                FeatureSettings(clip_model="tabletop-mini", clip_pretrained="embedded")
            ),
            "ViT-L-14-336-quickgelu (openai)": weights(FeatureSettings()),
        },
        "dino_weights": {
            f"{model} ({DINO_HUB})": weights(FeatureSettings(feature_type="DINO", dino_model=model))
            for model in DINO_MODELS
        },
        "cache_dir": str(default_cache_dir()),
        "embedded_scenes": list(embedded_scenes()),
    }
