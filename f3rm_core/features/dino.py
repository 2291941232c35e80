"""Dense DINO features through timm: what each patch's token holds after the last block. The only importer of timm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import Attention, VisionTransformer, default_cfgs
from torch import Tensor
from torch.nn import functional as F

from f3rm_core.errors import WeightsUnavailable
from f3rm_core.features.patches import PatchExtractor, resized_positions
from f3rm_core.features.settings import FeatureSettings
from f3rm_core.features.weight_files import damage, first_line, loading, reachable
from f3rm_core.files import file_digest


@dataclass(frozen=True)
class DinoWeights:
    """One model and where its weights are.

    Args:
        model: timm's name of the model.
        pretrained: what the user called the weights.
        file: the weight file; None for the published one, at `address`.
        address: where the published weights are.
        content: what tells these weights from others: the published file's name, or the checksum of the file.
    """

    model: str
    pretrained: str
    file: Path | None
    address: str
    content: str

    def fetch(self) -> Path:
        """The weight file on this machine, downloaded if it is the published one.

        Raises:
            WeightsUnavailable: after a few seconds if the address can't be reached; or the file is broken.
        """
        file = self.file or (self._downloaded if self._downloaded.is_file() else self._download())
        if (reason := damage(file)) is not None:
            raise WeightsUnavailable(
                f"dino_pretrained={self.pretrained!r}: {file} is not a readable weight file of {self.model} "
                f"({reason}); download it again"
            )
        return file

    def look(self) -> str:
        """Where the weights stand, in words; nothing is downloaded.

        Raises:
            WeightsUnavailable: they are not on this machine and their address can't be reached.
        """
        if self.file or self._downloaded.is_file():
            return "ready"
        self._check_reachable()
        return f"not on this machine; {self.address} has them, and the first use downloads them"

    @property
    def _downloaded(self) -> Path:
        """Where torch.hub, and so timm, keeps the published file."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.address.rsplit("/", 1)[-1]

    def _check_reachable(self) -> None:
        if not reachable(self.address):
            raise WeightsUnavailable(
                f"dino_model={self.model!r}: its weights are not on this machine and {self.address} can't be "
                "reached; download them on a machine with network and set dino_pretrained to the file"
            )

    def _download(self) -> Path:
        self._check_reachable()
        try:
            self._downloaded.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(self.address, str(self._downloaded), progress=False)
        except Exception as error:  # of the network, of the disk
            raise WeightsUnavailable(
                f"dino_model={self.model!r}: its weights can't be downloaded from {self.address} "
                f"({first_line(error)}); try again, or set dino_pretrained to a local file"
            ) from error
        return self._downloaded


class DinoExtractor(PatchExtractor):
    """Patch tokens of a DINO model, after the last block and the final norm.

    F3RM first took keys of the last block (dino_vits8), as Amir et al. 2021 do, and later these tokens, of DINOv2,
    which nerfstudio's timm does not have.

    Args:
        settings: model, weights and image size.
        device: "cpu" or "cuda"; None for CUDA where there is one.

    Raises:
        InvalidParameter: as `find_weights`.

    Source: Caron et al. 2021, Emerging Properties in Self-Supervised Vision Transformers (DINO).
    """

    def __init__(self, settings: FeatureSettings, *, device: str | None = None) -> None:
        super().__init__(device)
        self._weights = find_weights(settings)
        published = default_cfgs[settings.dino_model]
        self.mean, self.std = tuple(published["mean"]), tuple(published["std"])
        self.interpolation = str(published["interpolation"])
        self.name = f"{settings.dino_model} ({settings.dino_pretrained})"
        self.channels, self.patch_size = _SIZES[settings.dino_model]
        self.feature_image_size = settings.feature_image_size

    @property
    def identity(self) -> Mapping[str, object]:
        return {
            "feature_type": "DINO",
            "path": "patch tokens after the final norm, positions resized bicubic",
            "dino_model": self._weights.model,
            "weights": self._weights.content,
            "feature_image_size": self.feature_image_size,
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            "device": self._device.type,  # GPU and CPU round differently
        }

    def _dense(self, pixels: Tensor) -> Tensor:
        return patch_tokens(self._model, pixels)

    @cached_property
    def _model(self) -> VisionTransformer:
        return _load(self._weights).to(self._device)


_SIZES = {
    "vit_small_patch16_224_dino": (384, 16),
    "vit_small_patch8_224_dino": (384, 8),
    "vit_base_patch16_224_dino": (768, 16),
    "vit_base_patch8_224_dino": (768, 8),
}
"""Channels and patch size of each model: told without building one."""


def find_weights(settings: FeatureSettings) -> DinoWeights:
    """What the settings name, without going to the network.

    Raises:
        InvalidParameter: no such weight file.
    """
    file = settings.weight_file()
    address = str(default_cfgs[settings.dino_model]["url"])
    return DinoWeights(
        model=settings.dino_model,
        pretrained=settings.dino_pretrained,
        file=file,
        address=address,
        content=file_digest(file) if file is not None else f"published {address.rsplit('/', 1)[-1]}",
    )


def patch_tokens(
    model: VisionTransformer,
    pixels: Tensor,  # [batch, 3, height, width], normalised, whole patches
) -> Tensor:
    """Patch tokens after the last block and the final norm: [batch, rows, columns, channels].

    timm's forward for an image of any size, with an attention that never holds patches x patches values: a map of
    160 x 90 patches would need 5 GB for them.
    """
    x = model.patch_embed.proj(pixels)  # [batch, channels, rows, columns]
    batch, _, rows, columns = x.shape
    x = x.flatten(2).transpose(1, 2)  # [batch, patches, channels]
    # no antialias, as in DINO's own code and in the resize_pos_embed by which timm loads weights for another size
    positions = resized_positions(model.pos_embed[0], model.patch_embed.grid_size, rows, columns, antialias=False)
    x = torch.cat([model.cls_token.expand(batch, -1, -1), x], dim=1) + positions
    for block in model.blocks:  # these models have neither layer scale nor dropped paths
        x = x + _attention(block.attn, block.norm1(x))
        x = x + block.mlp(block.norm2(x))
    return model.norm(x)[:, 1:].reshape(batch, rows, columns, -1)


def _attention(
    attention: Attention,
    x: Tensor,  # [batch, tokens, channels]
) -> Tensor:
    batch, tokens, channels = x.shape
    heads = attention.num_heads
    query, key, value = attention.qkv(x).view(batch, tokens, 3, heads, channels // heads).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value)  # [batch, heads, tokens, channels of a head]
    return attention.proj(mixed.transpose(1, 2).reshape(batch, tokens, channels))


def _load(weights: DinoWeights) -> VisionTransformer:
    file = weights.fetch()
    model = timm.create_model(weights.model, num_classes=0)
    with loading(file, into=weights.model, parameter="dino_pretrained", value=weights.pretrained):
        model.load_state_dict(_state(file))
    return model.eval().requires_grad_(False)


def _state(file: Path) -> dict[str, Any]:
    if file.suffix == ".safetensors":
        return load_file(file)
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state
