"""The small model, and that its file gives the same through the code that loads real CLIP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from f3rm_core.errors import UnknownWords
from f3rm_core.features.clip import ClipExtractor
from f3rm_core.features.settings import FeatureSettings
from tools.tabletop.data import Shard
from tools.tabletop.export import TARGET_RMS, export, feature_scale
from tools.tabletop.model import CONFIG, TabletopModel, Window


@pytest.fixture(scope="module")
def model() -> TabletopModel:
    torch.manual_seed(0)
    return TabletopModel().eval()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 72, 96, 3), dtype=np.uint8)


def test_the_file_gives_the_same_through_the_ordinary_code(
    model: TabletopModel, pictures: np.ndarray, tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    export(model, file, scale=2.0)
    assert file.stat().st_size < 5_000_000
    settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained=str(file), feature_image_size=0)
    extractor = ClipExtractor(settings, cache_dir=tmp_path / "cache", device="cpu")

    texts = ["a red mug", "the teapot", "object"]
    with torch.inference_mode():
        ours = model.encode_text(texts)
        pixels = torch.from_numpy(pictures[:1].astype(np.float32) / 255).permute(0, 3, 1, 2)
        dense = model.dense(pixels)
    assert (F.normalize(extractor.encode_text(texts), dim=-1) - ours).abs().max() < 5e-3
    maps = torch.from_numpy(extractor.extract(list(pictures[:1])).astype(np.float32))
    assert maps.shape == dense.shape == (1, 9, 12, CONFIG["embed_dim"])
    assert (maps - 2.0 * dense).abs().max() < 0.02 * dense.abs().max() * 2.0
    with pytest.raises(UnknownWords, match="zebra"):
        extractor.encode_text(["a zebra"])


def test_the_scale_brings_features_to_the_size_of_real_clip(model: TabletopModel, pictures: np.ndarray) -> None:
    shard = Shard(pictures, np.zeros(pictures.shape[:3], dtype=np.uint8), ((),) * 4)
    scale = feature_scale(model, shard)
    with torch.inference_mode():
        features = model.dense(
            F.interpolate(torch.from_numpy(pictures[:1] / 255).permute(0, 3, 1, 2).float(), (96, 128))
        )
    assert (scale * features).square().mean().sqrt().item() == pytest.approx(TARGET_RMS, rel=0.05)


def test_the_whole_grid_as_a_window_changes_nothing(model: TabletopModel) -> None:
    side = CONFIG["vision_cfg"]["image_size"]
    grid = (side // 8, side // 8)
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(model.dense(pixels), model.dense(pixels, Window((0, 0), grid, grid)), atol=1e-5)


def test_a_window_moves_what_a_crop_sees(model: TabletopModel) -> None:
    pixels = torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        corners = [model.dense(pixels, Window(corner, (10, 10), (10, 10))) for corner in ((0, 0), (14, 14))]
    assert (corners[0] - corners[1]).abs().max() > 1e-3


def test_tokens_that_were_never_trained_share_a_row(model: TabletopModel) -> None:
    with torch.inference_mode():
        zebra, giraffe, mug = model.encode_text(["zebra", "giraffe", "mug"])
    assert torch.equal(zebra, giraffe)
    assert not torch.allclose(zebra, mug)
