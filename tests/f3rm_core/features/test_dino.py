"""Dense DINO features against timm's own forward; weights that can't be had; a training on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn, default_cfgs

from f3rm_core import PARAMETERS, WeightsUnavailable, build_config, load_scene, train
from f3rm_core.errors import UsageError
from f3rm_core.features import FeatureSettings, build_extractor, dino, ensure_weights, look_for_weights, settings
from f3rm_core.features.dino import DinoExtractor, patch_tokens

HUB = FeatureSettings(feature_type="DINO")


def noise(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (rows * 16, columns * 16, 3), dtype=np.uint8)


def normalised(image: np.ndarray) -> torch.Tensor:
    """[1, 3, height, width], with ImageNet's mean and standard deviation."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return torch.tensor((image / 255 - mean) / std, dtype=torch.float32).permute(2, 0, 1)[None]


def timms_own(chosen: FeatureSettings, rows: int, columns: int) -> VisionTransformer:
    """timm's model for images of this size, its positions resized by timm."""
    model = timm.create_model(chosen.dino_model, num_classes=0, img_size=(rows * 16, columns * 16))
    model.load_state_dict(checkpoint_filter_fn(torch.load(chosen.dino_pretrained), model))
    return model.eval()


class TestDensePath:
    @pytest.mark.parametrize("grid", [(14, 14), (3, 5), (20, 16), (1, 2)])  # 14 x 14: as trained
    def test_equals_timms_forward(self, dino_settings: FeatureSettings, grid: tuple[int, int]) -> None:
        image = noise(*grid)
        with torch.inference_mode():
            expected = timms_own(dino_settings, *grid).forward_features(normalised(image))[:, 1:]  # [1, patches, 384]
            tokens = patch_tokens(timms_own(dino_settings, 14, 14), normalised(image))
        assert tokens.shape == (1, *grid, 384)
        torch.testing.assert_close(tokens.view_as(expected), expected, atol=1e-4, rtol=1e-4)
        maps = DinoExtractor(dino_settings, device="cpu").extract([image])
        np.testing.assert_allclose(maps[0].astype(np.float32), tokens[0], atol=5e-3, rtol=2e-3)  # float16

    def test_nothing_is_cropped(self, dino_settings: FeatureSettings) -> None:
        extractor = DinoExtractor(replace(dino_settings, feature_image_size=96), device="cpu")
        wide = np.zeros((90, 270, 3), dtype=np.uint8)
        before = extractor.extract([wide])
        wide[:, :20] = 255
        assert before.shape == (1, 2, 6, 384)
        assert np.abs(extractor.extract([wide])[0, :, 0] - before[0, :, 0]).max() > 0.01

    def test_sizes_are_the_models(self) -> None:
        small = timm.create_model("vit_small_patch8_224_dino", num_classes=0)
        extractor = DinoExtractor(HUB, device="cpu")  # its weights are not read before they are needed
        assert (extractor.channels, extractor.patch_size) == (small.embed_dim, small.patch_embed.patch_size[0])
        assert extractor.map_shape(1280, 720) == (90, 160)

    def test_names_are_timms(self) -> None:
        names = {name for name in default_cfgs if name.endswith("_dino")}
        assert names == set(settings.DINO_MODELS) == set(PARAMETERS["dino_model"].choices) == set(dino._SIZES)
        assert PARAMETERS["feature_type"].choices == settings.FEATURE_TYPES
        for name in ("feature_type", "dino_model", "dino_pretrained"):
            assert "can't be compared" in PARAMETERS[name].not_sweepable

    def test_keys_differ_with_weights_and_models(self, dino_settings: FeatureSettings) -> None:
        others = [HUB, replace(HUB, dino_model="vit_small_patch16_224_dino"), dino_settings]
        assert len({build_extractor(one, device="cpu").key for one in others}) == 3


def test_text_queries_are_refused(dino_settings: FeatureSettings) -> None:
    with pytest.raises(UsageError, match=r"can't be compared with text; use feature_type='CLIP'"):
        build_extractor(dino_settings, device="cpu").encode_text(["a red mug"])


class TestWeights:
    @pytest.fixture(autouse=True)
    def empty_hub(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        monkeypatch.setattr(torch.hub, "_hub_dir", None)
        monkeypatch.setattr(dino, "reachable", lambda address: False)

    def test_published_ones_out_of_reach(self) -> None:
        for ask in (ensure_weights, look_for_weights):
            with pytest.raises(WeightsUnavailable, match=r"deitsmall8_pretrain.pth can't be reached; .*to the file"):
                ask(HUB)

    def test_published_ones_are_named_and_left_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dino, "reachable", lambda address: True)
        assert "the first use downloads them" in look_for_weights(HUB)

    def test_a_download_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError("the line broke\nsecond line")

        monkeypatch.setattr(dino, "reachable", lambda address: True)
        monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
        with pytest.raises(WeightsUnavailable, match=r"can't be downloaded from .* \(the line broke\); try again"):
            ensure_weights(HUB)

    def test_an_earlier_download_is_taken(self, dino_settings: FeatureSettings, tmp_path: Path) -> None:
        folder = tmp_path / "torch" / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        (folder / "dino_deitsmall16_pretrain.pth").symlink_to(dino_settings.dino_pretrained)
        published = replace(dino_settings, dino_pretrained="hub")
        assert look_for_weights(published) == "ready"
        maps = [DinoExtractor(one, device="cpu").extract([noise(2, 2)]) for one in (published, dino_settings)]
        np.testing.assert_array_equal(*maps)

    def test_a_file_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "w.pth").write_text("<html>not found</html>")
        with pytest.raises(WeightsUnavailable, match="is not a readable weight file of vit_small_patch8_224_dino"):
            ensure_weights(replace(HUB, dino_pretrained=str(tmp_path / "w.pth")))

    def test_a_file_of_another_model(self, dino_settings: FeatureSettings) -> None:
        other = replace(dino_settings, dino_model="vit_small_patch8_224_dino")
        with pytest.raises(WeightsUnavailable, match="can't be loaded into vit_small_patch8_224_dino") as caught:
            DinoExtractor(other, device="cpu").extract([noise(2, 2)])
        assert "\n" not in str(caught.value)

    def test_safetensors(self, dino_settings: FeatureSettings, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        save_file(torch.load(dino_settings.dino_pretrained), tmp_path / "w.safetensors")
        same = replace(dino_settings, dino_pretrained=str(tmp_path / "w.safetensors"))
        maps = [DinoExtractor(one, device="cpu").extract([noise(2, 3)]) for one in (same, dino_settings)]
        np.testing.assert_array_equal(*maps)


def test_a_training_on_dino_features(
    dino_settings: FeatureSettings,
    tiny_scene: Path,
    tiny_parameters: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("F3RM_CACHE_DIR", str(tmp_path))
    chosen = {name: getattr(dino_settings, name) for name in ("feature_type", "dino_model", "dino_pretrained")}
    config = build_config({**tiny_parameters, **chosen, "feature_image_size": 64})
    scene = load_scene(str(tiny_scene))
    short, long = (train(config, scene, budget_steps=steps).metrics for steps in (2, 100))
    assert long["feature_gain"] > short["feature_gain"]
    assert long["feature_mse"] < short["feature_mse"]
