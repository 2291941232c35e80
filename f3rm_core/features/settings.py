"""Which features, and which weight file they come from. Imports neither torch nor open_clip nor timm."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from f3rm_core.errors import InvalidParameter
from f3rm_core.features.embedded import EMBEDDED_FILE, EMBEDDED_MODEL

FEATURE_TYPES = ("CLIP", "DINO")
DINO_MODELS = (
    "vit_small_patch16_224_dino",
    "vit_small_patch8_224_dino",
    "vit_base_patch16_224_dino",
    "vit_base_patch8_224_dino",
)
"""timm's names of the models that Caron et al. 2021 published."""
DINO_HUB = "hub"
"""The value of dino_pretrained that stands for the published weights."""
EMBEDDED_INSTEAD = f"or use clip_model={EMBEDDED_MODEL!r} with clip_pretrained='embedded'"

_WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class FeatureSettings:
    """Which features, and of what image size.

    Args:
        feature_type: one of FEATURE_TYPES; the settings of the other one are not looked at.
        clip_model: open_clip's name of the model, or `tabletop-mini`, which ships with the package.
        clip_pretrained: open_clip's tag of the weights (`openai`), a weight file, or `embedded` for
            `tabletop-mini`.
        dino_model: one of DINO_MODELS.
        dino_pretrained: `hub` for the published weights, or a weight file.
        feature_image_size: images are resized so that their long side has about this many pixels (both sides
            are rounded to whole patches); 0 keeps each image's own size.
        enable_cache: keep extracted features on disk.

    Raises:
        InvalidParameter: a value, or a combination of values, that can't work.
    """

    feature_type: str = "CLIP"
    clip_model: str = "ViT-L-14-336-quickgelu"
    clip_pretrained: str = "openai"
    dino_model: str = "vit_small_patch8_224_dino"
    dino_pretrained: str = DINO_HUB
    feature_image_size: int = 0
    enable_cache: bool = True

    def __post_init__(self) -> None:
        for name, known in (("feature_type", FEATURE_TYPES), ("dino_model", DINO_MODELS)):
            if getattr(self, name) not in known:
                raise InvalidParameter(name, getattr(self, name), f"must be one of {', '.join(known)}")
        for name in ("clip_model", "clip_pretrained", "dino_pretrained"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise InvalidParameter(name, value, "must be a name")
        size = self.feature_image_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InvalidParameter(
                "feature_image_size", size, "must be a whole number of pixels, or 0 for the image's own size"
            )
        misplaced = self.clip_pretrained == "embedded" and self.clip_model != EMBEDDED_MODEL
        if self.feature_type == "CLIP" and misplaced:
            raise InvalidParameter(
                "clip_pretrained",
                self.clip_pretrained,
                f"only clip_model={EMBEDDED_MODEL!r} has embedded weights, not {self.clip_model!r}; "
                "give a tag such as 'openai' or a weight file",
            )

    def weight_file(self) -> Path | None:
        """The weight file that the settings name; None for a tag, which only the model's library can judge.

        Raises:
            InvalidParameter: they name a file that is not there, or can't be read.
        """
        return self._dino_file() if self.feature_type == "DINO" else self._clip_file()

    def _dino_file(self) -> Path | None:
        if self.dino_pretrained == DINO_HUB:
            return None
        file = os.path.expanduser(self.dino_pretrained)
        if (fault := _fault_of(file)) is None:
            return Path(file)
        remedy = f"give {DINO_HUB!r} or the path of a weight file of {self.dino_model}"
        raise InvalidParameter("dino_pretrained", self.dino_pretrained, f"{fault}; {remedy}")

    def _clip_file(self) -> Path | None:
        if self.clip_pretrained == "embedded":
            return EMBEDDED_FILE
        file = os.path.expanduser(self.clip_pretrained)
        if (fault := _fault_of(file)) is None:
            return Path(file)
        if not os.path.isfile(file) and not names_weight_file(file):
            if self.clip_model != EMBEDDED_MODEL:
                return None
            fault = f"{EMBEDDED_MODEL} has no weights of this name"
        remedy = f"give a tag, the path of a weight file of {self.clip_model}, {EMBEDDED_INSTEAD}"
        if self.clip_model == EMBEDDED_MODEL:
            remedy = "give 'embedded' or the path of a weight file"
        raise InvalidParameter("clip_pretrained", self.clip_pretrained, f"{fault}; {remedy}")


def names_weight_file(pretrained: str) -> bool:
    """Whether a value of clip_pretrained or dino_pretrained is a file's name, by its form; no tag has such a form."""
    return os.sep in pretrained or pretrained.endswith(_WEIGHT_SUFFIXES)


def check_weight_file(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that name a weight file which is not there. Loads no model and asks no hub.

    Args:
        parameters: flat name -> value; what is absent has its default.

    Raises:
        InvalidParameter: with name, value and remedy.
    """
    names = {field.name for field in fields(FeatureSettings)}
    FeatureSettings(**{name: value for name, value in parameters.items() if name in names}).weight_file()


def _fault_of(file: str) -> str | None:
    """Why a file can't be read; None: it can."""
    # os.path, as pathlib raises where a name is too long, a folder closed, or a user unknown
    if os.path.isfile(file):
        return None if os.access(file, os.R_OK) else "you may not read this file"
    return "no such file" if os.path.isabs(file) else f"no such file in {Path.cwd()}"
