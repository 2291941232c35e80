"""Dense CLIP features against open_clip's own blocks; the text side; loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch.nn import functional as F

from f3rm_core.errors import UnknownWords, UsageError, WeightsUnavailable
from f3rm_core.features import FeatureSettings, LanguageFeatureExtractor
from f3rm_core.features.clip import ClipExtractor, dense_features


def noise(rows: int, columns: int, patch_size: int = 8) -> np.ndarray:
    shape = (rows * patch_size, columns * patch_size, 3)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def normalised(image: np.ndarray) -> torch.Tensor:
    """[1, 3, height, width], with CLIP's published mean and standard deviation."""
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    return torch.tensor((image / 255 - mean) / std, dtype=torch.float32).permute(2, 0, 1)[None]


def masked_attention(visual: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """A second way: the whole attention, each token seeing itself only. [1, patches, channels]"""
    count = len(visual.transformer.resblocks)
    found = visual.forward_intermediates(pixels, indices=[count - 2], output_fmt="NLC", intermediates_only=True)
    x = found["image_intermediates"][0]
    last = visual.transformer.resblocks[-1]
    mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).fill_diagonal_(0.0)
    y = last.ln_1(x)
    value, _ = last.attn(y, y, y, need_weights=False, attn_mask=mask)
    return visual.ln_post(value) @ visual.proj


class TestDensePath:
    @pytest.mark.parametrize("grid", [(4, 4), (3, 5), (6, 9), (1, 2)])
    def test_equals_masked_attention(self, tiny_settings: FeatureSettings, grid: tuple[int, int]) -> None:
        # At (4, 4) the model runs as trained; else open_clip resizes the positions when it loads the weights.
        reference = open_clip.create_model(
            tiny_settings.clip_model,
            pretrained=tiny_settings.clip_pretrained,
            force_image_size=(grid[0] * 8, grid[1] * 8),
        ).eval()
        image = noise(*grid)
        with torch.inference_mode():
            expected = masked_attention(reference.visual, normalised(image)).reshape(*grid, 16)
        maps = ClipExtractor(tiny_settings, device="cpu").extract([image])
        assert maps.shape == (1, *grid, 16)
        np.testing.assert_allclose(maps[0].astype(np.float32), expected, atol=2e-3, rtol=1e-3)  # float16

    def test_resizes_as_open_clip_but_does_not_crop(self, tiny_settings: FeatureSettings) -> None:
        square = np.random.default_rng(2).integers(0, 256, (90, 90, 3), dtype=np.uint8)
        stock = image_transform_v2(PreprocessCfg(size=32), is_train=False)(Image.fromarray(square))
        visual = open_clip.create_model(
            tiny_settings.clip_model, pretrained=tiny_settings.clip_pretrained
        ).visual.eval()
        with torch.inference_mode():
            expected = dense_features(visual, stock[None])
        settings = replace(tiny_settings, feature_image_size=32)
        maps = ClipExtractor(settings, device="cpu").extract([square])
        np.testing.assert_allclose(maps.astype(np.float32), expected, atol=2e-3, rtol=1e-3)

        wide = np.zeros((90, 270, 3), dtype=np.uint8)
        extractor = ClipExtractor(settings, device="cpu")
        before = extractor.extract([wide])
        wide[:, :20] = 255  # a centre crop would not see it
        assert before.shape == (1, 1, 4, 16)
        assert np.abs(extractor.extract([wide]) - before).max() > 0.01

    @pytest.mark.slow
    def test_openai_architecture(self) -> None:
        visual = open_clip.create_model("ViT-L-14-336-quickgelu").visual.eval()
        pixels = torch.randn(1, 3, 224, 308, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            maps = dense_features(visual, pixels)
        assert maps.shape == (1, 16, 22, 768)

        trained = visual.positional_embedding.detach()
        grid = trained[1:].reshape(1, 24, 24, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, (16, 22), mode="bicubic", antialias=True)
        visual.positional_embedding = torch.nn.Parameter(torch.cat([trained[:1], grid[0].flatten(1).T]))
        with torch.inference_mode():
            expected = masked_attention(visual, pixels)
        torch.testing.assert_close(maps.reshape(1, -1, 768), expected, atol=2e-4, rtol=1e-4)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    def test_cuda_equals_cpu(self, tiny_settings: FeatureSettings) -> None:
        images = [noise(3, 5), noise(3, 5)[::-1]]
        on_cpu, on_cuda = (ClipExtractor(tiny_settings, device=name) for name in ("cpu", "cuda"))
        np.testing.assert_allclose(on_cuda.extract(images), on_cpu.extract(images), atol=5e-3, rtol=2e-3)
        assert on_cuda.key != on_cpu.key


class TestKey:
    def test_differs_with_settings_and_weights(
        self, tiny_settings: FeatureSettings, tiny_weights: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other.safetensors"
        data = bytearray(tiny_weights.read_bytes())
        data[-1] ^= 1
        other.write_bytes(data)
        moved = tmp_path / "moved.safetensors"
        moved.write_bytes(tiny_weights.read_bytes())
        settings = [
            tiny_settings,
            replace(tiny_settings, feature_image_size=64),
            replace(tiny_settings, clip_pretrained=str(other)),
        ]
        keys = [ClipExtractor(one, device="cpu").key for one in settings]
        assert len(set(keys)) == 3
        same = ClipExtractor(replace(tiny_settings, clip_pretrained=str(moved)), device="cpu")
        assert same.key == keys[0]  # the content counts, not the path

    def test_a_tag_needs_no_network(self) -> None:
        assert ClipExtractor(FeatureSettings(), device="cpu").identity["weights"] == "tag openai"


class TestText:
    def test_equals_open_clip(self, tiny_settings: FeatureSettings) -> None:
        name = tiny_settings.clip_model
        model = open_clip.create_model(name, pretrained=tiny_settings.clip_pretrained).eval()
        with torch.inference_mode():
            vectors = model.encode_text(open_clip.get_tokenizer(name)(["a mug", "zebra"]))
        extractor = ClipExtractor(tiny_settings, device="cpu")
        assert isinstance(extractor, LanguageFeatureExtractor)
        found = extractor.encode_text(["a mug", "zebra"])
        torch.testing.assert_close(found, vectors / vectors.norm(dim=1, keepdim=True))

    def test_too_long(self, tiny_settings: FeatureSettings) -> None:
        extractor = ClipExtractor(tiny_settings, device="cpu")
        assert extractor.encode_text(["a " * 10]).shape == (1, 16)
        with pytest.raises(UsageError, match="11 tokens, but tiny-vit-for-tests reads at most 10"):
            extractor.encode_text(["a " * 11])

    def test_unknown_words_are_named(self, compact_file: Path, tmp_path: Path) -> None:
        settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained=str(compact_file))
        extractor = ClipExtractor(settings, tmp_path, device="cpu")
        assert extractor.encode_text(["a Red mug", "the  table"]).shape == (2, 96)
        with pytest.raises(UnknownWords) as caught:
            extractor.encode_text(["a red mug", "a red zebra by the xylophone"])
        assert "never saw 'zebra', 'by', 'xylophone';" in str(caught.value)


class TestCompact:
    def test_feature_scale_multiplies(self, random_clip: ModuleType, tmp_path: Path) -> None:
        from safetensors.numpy import load_file

        from f3rm_core.features.embedded import CompactHeader, write_compact

        first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
        header = random_clip.write_random_clip(first, seed=1)
        doubled = CompactHeader(header.config, header.token_ids, 2 * header.feature_scale, header.trained_on)
        write_compact(second, load_file(first), doubled)
        image, maps = noise(3, 4), []
        for file in (first, second):
            settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained=str(file))
            extractor = ClipExtractor(settings, tmp_path / "cache", device="cpu")
            maps.append(extractor.extract([image]).astype(np.float32))
        np.testing.assert_allclose(maps[1], 2 * maps[0], rtol=2e-3, atol=1e-4)
        assert extractor.identity["feature_scale"] == 2 * header.feature_scale

    def test_loads_as_real_clip(self, random_clip: ModuleType, compact_file: Path, tmp_path: Path) -> None:
        """The expanded file loads by open_clip alone and gives the same text vectors."""
        settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained=str(compact_file))
        extractor = ClipExtractor(settings, tmp_path, device="cpu")
        (weights,) = (tmp_path / "clip").glob("*.safetensors")
        model = open_clip.create_model(weights.stem, pretrained=str(weights)).eval()
        with torch.inference_mode():
            tokens = open_clip.get_tokenizer(weights.stem)(["a blue bowl"])
            expected = model.encode_text(tokens, normalize=True)
        torch.testing.assert_close(extractor.encode_text(["a blue bowl"]), expected)


def test_embedded_weights(tmp_path: Path) -> None:
    """The file that ships: small enough, loads, knows the words of the first screen a user sees."""
    from f3rm_core.features.embedded import EMBEDDED_FILE

    assert EMBEDDED_FILE.stat().st_size < 5e6
    settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained="embedded")
    extractor = ClipExtractor(settings, tmp_path, device="cpu")
    maps = extractor.extract([noise(15, 20)])
    assert maps.shape == (1, 15, 20, extractor.channels)
    assert extractor.encode_text(["object", "things", "stuff", "texture"]).shape == (4, extractor.channels)


class TestLoading:
    @pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
    def test_openai_archive(self, tiny_settings: FeatureSettings, tmp_path: Path) -> None:
        """OpenAI's own files are TorchScript archives; they need a model with QuickGELU."""
        from f3rm_core.features.weights import is_torchscript

        model = open_clip.create_model(
            tiny_settings.clip_model, pretrained=tiny_settings.clip_pretrained, quick_gelu=True
        ).eval()
        archive = tmp_path / "ViT-tiny.pt"
        example = (torch.zeros(1, 3, 32, 32), torch.zeros(1, 12, dtype=torch.long))
        torch.jit.trace(model, example, check_trace=False).save(str(archive))
        assert is_torchscript(archive)
        _register_quick(tmp_path)
        settings = FeatureSettings(clip_model="tiny-quickgelu", clip_pretrained=str(archive))
        maps = ClipExtractor(settings, device="cpu").extract([noise(4, 4)])
        with torch.inference_mode():
            expected = masked_attention(model.visual, normalised(noise(4, 4))).reshape(1, 4, 4, 16)
        np.testing.assert_allclose(maps.astype(np.float32), expected, atol=2e-3, rtol=1e-3)

    def test_weights_of_another_model(self, compact_file: Path, tiny_settings: FeatureSettings) -> None:
        settings = replace(tiny_settings, clip_pretrained=str(compact_file))
        with pytest.raises(WeightsUnavailable, match=f"can't be loaded into {tiny_settings.clip_model}") as caught:
            ClipExtractor(settings, device="cpu").extract([noise(4, 4)])
        assert "\n" not in str(caught.value)


def _register_quick(folder: Path) -> None:
    import json

    base = open_clip.get_model_config("tiny-vit-for-tests")
    config = folder / "tiny-quickgelu.json"
    config.write_text(json.dumps({**base, "quick_gelu": True}))
    open_clip.add_model_config(config)
