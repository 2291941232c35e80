"""Finding CLIP weights: on this machine, on a hub, or in the package. Imports open_clip."""

from __future__ import annotations

import difflib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import constants as hub
from huggingface_hub import try_to_load_from_cache
from open_clip.pretrained import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME, download_pretrained

from f3rm_core.array_cache import default_cache_dir
from f3rm_core.errors import InvalidParameter, WeightsUnavailable
from f3rm_core.features.embedded import EMBEDDED_MODEL, expand, read_header
from f3rm_core.features.settings import EMBEDDED_INSTEAD, FeatureSettings
from f3rm_core.features.weight_files import damage, first_line, reachable
from f3rm_core.files import file_digest


@dataclass(frozen=True)
class ClipWeights:
    """One model and where its weights are.

    Args:
        model: what the user called the model.
        pretrained: what the user called the weights.
        architecture: the model's name in open_clip's registry.
        config: open_clip's configuration of it.
        file: the weight file; None where a hub has it, under `hub_entry`.
        hub_entry: open_clip's entry of the tag (addresses, mean, std); empty for a file.
        content: what tells these weights from others: the tag, or the checksum of the file.
        feature_scale: dense features are multiplied by it.
        token_ids: the only tokens that the text model knows; None: all of them.
    """

    model: str
    pretrained: str
    architecture: str
    config: Mapping[str, Any]
    file: Path | None
    hub_entry: Mapping[str, Any]
    content: str
    feature_scale: float = 1.0
    token_ids: frozenset[int] | None = None

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each colour in [0, 1], as the model was trained with."""
        return tuple(self.hub_entry.get("mean", open_clip.OPENAI_DATASET_MEAN))

    @property
    def std(self) -> tuple[float, ...]:
        return tuple(self.hub_entry.get("std", open_clip.OPENAI_DATASET_STD))

    @property
    def interpolation(self) -> str:
        """How the model's images were resized: "bicubic" or "bilinear"."""
        return str(self.hub_entry.get("interpolation", "bicubic"))

    def fetch(self) -> Path:
        """The weight file on this machine, downloaded if a hub has it.

        Raises:
            WeightsUnavailable: after a few seconds if the hub can't be reached; or the file is broken.
        """
        file = self.file or _from_hub_cache(self.hub_entry) or self._download()
        if (reason := damage(file)) is not None:
            raise WeightsUnavailable(
                f"clip_pretrained={self.pretrained!r}: {file} is not a readable weight file of {self.model} "
                f"({reason}); download it again, {EMBEDDED_INSTEAD}"
            )
        return file

    def look(self) -> str:
        """Where the weights stand, in words; nothing is downloaded.

        Raises:
            WeightsUnavailable: they are not on this machine and the hub can't be reached.
        """
        if self.file or _from_hub_cache(self.hub_entry):
            return "ready"
        return f"not on this machine; {self._reachable_address()} has them, and the first use downloads them"

    def _reachable_address(self) -> str:
        address = _address(self.hub_entry)
        if not reachable(address):
            raise WeightsUnavailable(
                f"clip_model={self.model!r}: its weights {self.pretrained!r} are not on this machine and "
                f"{address} can't be reached; download them on a machine with network and set "
                f"clip_pretrained to the file, {EMBEDDED_INSTEAD}"
            )
        return address

    def _download(self) -> Path:
        address = self._reachable_address()
        try:
            return Path(download_pretrained(dict(self.hub_entry)))
        except Exception as error:  # whatever the hub's client raises: it changes from version to version
            raise WeightsUnavailable(
                f"clip_model={self.model!r}: its weights {self.pretrained!r} can't be downloaded from "
                f"{address} ({first_line(error)}); try again, "
                f"set clip_pretrained to a local file, {EMBEDDED_INSTEAD}"
            ) from error


def find_weights(settings: FeatureSettings, cache_dir: Path | None = None) -> ClipWeights:
    """What the settings name, without going to the network.

    Raises:
        InvalidParameter: no such model, one without MaskCLIP features, or no such weight file.
        WeightsUnavailable: no such weights for the model, or a broken file.
    """
    if settings.clip_model == EMBEDDED_MODEL:
        return _find_embedded(settings, cache_dir or default_cache_dir())
    config = open_clip.get_model_config(settings.clip_model)
    if config is None:
        close = difflib.get_close_matches(settings.clip_model, open_clip.list_models(), n=3)
        raise InvalidParameter(
            "clip_model",
            settings.clip_model,
            "open_clip has no such model; "
            + (f"did you mean {' or '.join(close)}?" if close else "see open_clip.list_models()"),
        )
    _check_tower(settings.clip_model, config)
    return _find_open_clip(settings, config)


def _find_embedded(settings: FeatureSettings, cache_dir: Path) -> ClipWeights:
    compact = settings.weight_file()
    assert compact is not None  # this model has no tags
    header = read_header(compact)
    file, config_file = expand(compact, cache_dir / "clip")
    if open_clip.get_model_config(config_file.stem) is None:
        open_clip.add_model_config(config_file)
    return ClipWeights(
        model=settings.clip_model,
        pretrained=settings.clip_pretrained,
        architecture=config_file.stem,
        config=header.config,
        file=file,
        hub_entry={},
        content=file_digest(compact),
        feature_scale=header.feature_scale,
        token_ids=frozenset(header.token_ids),
    )


def _find_open_clip(settings: FeatureSettings, config: Mapping[str, Any]) -> ClipWeights:
    model, pretrained = settings.clip_model, settings.clip_pretrained
    entry = open_clip.get_pretrained_cfg(model, pretrained)
    file = None if entry else settings.weight_file()
    if file is None and not entry:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise WeightsUnavailable(
            f"clip_pretrained={pretrained!r}: neither a file nor a tag of {model} (its tags: {tags}); "
            f"give a tag, the path of a weight file, {EMBEDDED_INSTEAD}"
        )
    openai_file = file is not None and is_torchscript(file)  # OpenAI published its weights as TorchScript
    if (entry.get("quick_gelu") or openai_file) and not config.get("quick_gelu"):
        raise InvalidParameter(
            "clip_model",
            model,
            f"the weights {pretrained!r} were trained with QuickGELU, this model has GELU; use '{model}-quickgelu'",
        )
    return ClipWeights(
        model=model,
        pretrained=pretrained,
        architecture=model,
        config=config,
        file=file,
        hub_entry=entry,
        content=file_digest(file) if file is not None else f"tag {pretrained.lower()}",
    )


def _check_tower(model: str, config: Mapping[str, Any]) -> None:
    """MaskCLIP's value path stands for pooling by a class token in the last block of a plain ViT."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    reason = None
    if "timm_model_name" in vision:
        reason = "its image tower comes from timm"
    elif not isinstance(vision.get("layers"), int):
        reason = "its image tower is a ResNet"
    elif vision.get("attentional_pool") or vision.get("pool_type", "tok") != "tok":
        reason = "its image tower does not pool by a class token"
    elif vision.get("ls_init_value") is not None:
        reason = "its image tower has layer scale"
    elif "hf_model_name" in text:
        reason = "its text tower comes from transformers"
    if reason is not None:
        raise InvalidParameter(
            "clip_model",
            model,
            f"{reason}; dense features need open_clip's own ViT, such as 'ViT-L-14-336-quickgelu'",
        )


def is_torchscript(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _from_hub_cache(entry: Mapping[str, Any]) -> Path | None:
    """The file that open_clip would take, if an earlier download left it here."""
    if not entry.get("hf_hub"):
        return None
    repository, name = os.path.split(entry["hf_hub"])
    for candidate in (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME) if not name else (_safe_name(name), name):
        found = try_to_load_from_cache(repository, candidate)
        if isinstance(found, str):
            return Path(found)
    return None


def _safe_name(name: str) -> str:
    return f"{Path(name).with_suffix('.safetensors')}"


def _address(entry: Mapping[str, Any]) -> str:
    return hub.ENDPOINT if entry.get("hf_hub") else str(entry["url"])
