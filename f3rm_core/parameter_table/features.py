"""The foundation model's features."""

from __future__ import annotations

from f3rm_core.parameter import SAME_RESULT, Effects, Parameter
from f3rm_core.parameter_table.rows import DATA, OTHER_METRIC, integer, switch, text

_FEATURES = "features"

ROWS: tuple[Parameter, ...] = (
    text(
        "feature_type",
        "CLIP",
        DATA,
        _FEATURES,
        "Kind of feature model.",
        choices=("CLIP", "DINO"),
        effects=Effects(
            "CLIP's features answer text queries; DINO's tell parts apart, without words",
            "extraction, once a scene",
            None,
        ),
        not_sweepable=OTHER_METRIC,
    ),
    text(
        "clip_model",
        "ViT-L-14-336-quickgelu",
        DATA,
        _FEATURES,
        "open_clip's name of the model.",
        effects=Effects(
            "larger models tell more things apart", "slower extraction, once a scene", "more channels to predict"
        ),
        not_sweepable=OTHER_METRIC,
    ),
    text(
        "clip_pretrained",
        "openai",
        DATA,
        _FEATURES,
        "Weights: an open_clip tag, a file, or `embedded`.",
        effects=Effects("what the model was trained on is what its features know", None, None),
        not_sweepable=OTHER_METRIC,
    ),
    text(
        "dino_model",
        "vit_small_patch8_224_dino",
        DATA,
        _FEATURES,
        "timm's name of the DINO model.",
        choices=(
            "vit_small_patch16_224_dino",
            "vit_small_patch8_224_dino",
            "vit_base_patch16_224_dino",
            "vit_base_patch8_224_dino",
        ),
        effects=Effects(
            "patches of 8 pixels give finer maps than 16", "slower extraction, once a scene", "base has more channels"
        ),
        not_sweepable=OTHER_METRIC,
    ),
    text(
        "dino_pretrained",
        "hub",
        DATA,
        _FEATURES,
        "DINO weights: `hub` or a file.",
        effects=Effects("what the model was trained on is what its features know", None, None),
        not_sweepable=OTHER_METRIC,
    ),
    integer(
        "feature_image_size",
        0,
        DATA,
        _FEATURES,
        (0, 8192),
        "Long side of the images given to the model; 0 keeps their own size.",
        unit="pixels",
        effects=Effects("finer feature maps", "slower extraction, once a scene", "larger feature cache"),
        not_sweepable=OTHER_METRIC,
    ),
    switch(
        "enable_cache",
        True,
        DATA,
        _FEATURES,
        "Keep extracted features on disk.",
        effects=Effects(None, "the next training on the scene starts at once", "on disk, not in memory"),
        not_sweepable=SAME_RESULT,
    ),
)
