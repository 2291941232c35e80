"""Scenes, small CLIP models and a numpy extractor for the tests of f3rm_core.features."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from f3rm_core.features import FeatureExtractor, FeatureSettings

TINY_CLIP = "tiny-vit-for-tests"  # in open_clip's registry once `tiny_weights` is used
TINY_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


class BlockMeans(FeatureExtractor):
    """The mean colour of each 4x4 block: an extractor whose result is plain."""

    name = "block means"
    channels = 3
    patch_size = 4
    batch_size = 2
    feature_image_size = 0

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.calls = 0

    @property
    def identity(self) -> Mapping[str, object]:
        return {"feature_type": "block means", "factor": self.factor}

    def extract(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.calls += 1
        pixels = np.stack(images).astype(np.float64)  # [images, height, width, 3]
        rows, columns = pixels.shape[1] // 4, pixels.shape[2] // 4
        blocks = pixels[:, : rows * 4, : columns * 4].reshape(-1, rows, 4, columns, 4, 3)
        return (blocks.mean(axis=(2, 4)) / 255 * self.factor).astype(np.float16)


@pytest.fixture
def block_means() -> BlockMeans:
    return BlockMeans()


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., list[Path]]:
    """Writes images of seeded noise: photos(3, width=40, height=24) -> three paths."""

    def write(count: int, *, width: int = 40, height: int = 24, seed: int = 0) -> list[Path]:
        rng = np.random.default_rng(seed)
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        paths = []
        for number in range(count):
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            paths.append(folder / f"{seed}-{number}.png")
            Image.fromarray(pixels).save(paths[-1])
        return paths

    return write


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of TINY_CLIP, which this enters in open_clip's registry; no parameter is zero or one."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("tiny-clip")
    config = folder / f"{TINY_CLIP}.json"
    config.write_text(json.dumps(TINY_CONFIG))
    open_clip.add_model_config(config)
    generator = torch.Generator().manual_seed(0)
    model = open_clip.create_model(TINY_CLIP)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    file = folder / "weights.safetensors"
    save_file(model.state_dict(), file)
    return file


@pytest.fixture(scope="session")
def tiny_settings(tiny_weights: Path) -> FeatureSettings:
    return FeatureSettings(clip_model=TINY_CLIP, clip_pretrained=str(tiny_weights))


@pytest.fixture(scope="session")
def random_clip() -> ModuleType:
    """tools/random_clip.py."""
    path = Path(__file__).parents[3] / "tools" / "random_clip.py"
    spec = importlib.util.spec_from_file_location("random_clip", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def compact_file(random_clip: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compact") / "random.safetensors"
    random_clip.write_random_clip(path, seed=3)
    return path


@pytest.fixture(scope="session")
def dino_settings(tmp_path_factory: pytest.TempPathFactory) -> FeatureSettings:
    """A DINO model with a file of random weights, in the form of the published ones; no parameter is zero or one."""
    import timm
    import torch

    file = tmp_path_factory.mktemp("dino") / "weights.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("vit_small_patch16_224_dino", num_classes=0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape))
    torch.save(model.state_dict(), file)
    return FeatureSettings(feature_type="DINO", dino_model="vit_small_patch16_224_dino", dino_pretrained=str(file))
