"""Which features, and which weight file they come from. Imports neither torch nor open_clip."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from f3rm_core.errors import InvalidParameter
from f3rm_core.features.embedded import EMBEDDED_FILE, EMBEDDED_MODEL

FEATURE_TYPES = ("CLIP",)
EMBEDDED_INSTEAD = f"or use clip_model={EMBEDDED_MODEL!r} with clip_pretrained='embedded'"

_WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class FeatureSettings:
    """Which features, and of what image size.

    Args:
        feature_type: one of FEATURE_TYPES.
        clip_model: open_clip's name of the model, or `tabletop-mini`, which ships with the package.
        clip_pretrained: open_clip's tag of the weights (`openai`), a weight file, or `embedded` for
            `tabletop-mini`.
        feature_image_size: images are resized so that their long side has about this many pixels (both sides
            are rounded to whole patches); 0 keeps each image's own size.
        enable_cache: keep extracted features on disk.

    Raises:
        InvalidParameter: a value, or a combination of values, that can't work.
    """

    feature_type: str = "CLIP"
    clip_model: str = "ViT-L-14-336-quickgelu"
    clip_pretrained: str = "openai"
    feature_image_size: int = 0
    enable_cache: bool = True

    def __post_init__(self) -> None:
        if self.feature_type not in FEATURE_TYPES:
            raise InvalidParameter("feature_type", self.feature_type, f"must be one of {', '.join(FEATURE_TYPES)}")
        for name in ("clip_model", "clip_pretrained"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise InvalidParameter(name, value, "must be a name")
        size = self.feature_image_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InvalidParameter(
                "feature_image_size", size, "must be a whole number of pixels, or 0 for the image's own size"
            )
        if self.clip_pretrained == "embedded" and self.clip_model != EMBEDDED_MODEL:
            raise InvalidParameter(
                "clip_pretrained",
                self.clip_pretrained,
                f"only clip_model={EMBEDDED_MODEL!r} has embedded weights, not {self.clip_model!r}; "
                "give a tag such as 'openai' or a weight file",
            )

    def weight_file(self) -> Path | None:
        """The weight file that the settings name; None for a tag, which only open_clip can judge.

        Raises:
            InvalidParameter: they name a file that is not there, or can't be read.
        """
        if self.clip_pretrained == "embedded":
            return EMBEDDED_FILE
        # os.path, as pathlib raises where a name is too long, a folder closed, or a user unknown
        file = os.path.expanduser(self.clip_pretrained)
        if os.path.isfile(file):
            if os.access(file, os.R_OK):
                return Path(file)
            reason = "you may not read this file"
        elif names_weight_file(file):
            reason = "no such file" if os.path.isabs(file) else f"no such file in {Path.cwd()}"
        elif self.clip_model == EMBEDDED_MODEL:
            reason = f"{EMBEDDED_MODEL} has no weights of this name"
        else:
            return None
        remedy = f"give a tag, the path of a weight file of {self.clip_model}, {EMBEDDED_INSTEAD}"
        if self.clip_model == EMBEDDED_MODEL:
            remedy = "give 'embedded' or the path of a weight file"
        raise InvalidParameter("clip_pretrained", self.clip_pretrained, f"{reason}; {remedy}")


def names_weight_file(clip_pretrained: str) -> bool:
    """Whether a value of clip_pretrained is a file's name, by its form; no tag of open_clip has such a form."""
    return os.sep in clip_pretrained or clip_pretrained.endswith(_WEIGHT_SUFFIXES)


def check_weight_file(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that name a weight file which is not there. Loads no model and asks no hub.

    Args:
        parameters: flat name -> value; what is absent has its default.

    Raises:
        InvalidParameter: with name, value and remedy.
    """
    names = {field.name for field in fields(FeatureSettings)}
    FeatureSettings(**{name: value for name, value in parameters.items() if name in names}).weight_file()
