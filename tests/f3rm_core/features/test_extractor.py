"""Map sizes, and the conformance suite that every extractor runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from f3rm_core.features import FeatureExtractor, FeatureSettings, build_extractor
from f3rm_core.features.extractor import map_shape

NOISE = list(np.random.default_rng(5).integers(0, 256, (5, 24, 40, 3), dtype=np.uint8))  # five images of 40 x 24 pixels


@pytest.fixture(params=["block means", "clip", "compact clip", "resized clip", "dino"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], FeatureExtractor]:
    """Builds the extractor under test anew."""
    if request.param == "block means":
        return type(request.getfixturevalue("block_means"))
    if request.param == "dino":
        settings = request.getfixturevalue("dino_settings")
    elif request.param == "compact clip":
        file = request.getfixturevalue("compact_file")
        settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained=str(file))
    else:
        tiny = request.getfixturevalue("tiny_settings")
        size = 24 if request.param == "resized clip" else 0
        settings = FeatureSettings(
            clip_model=tiny.clip_model, clip_pretrained=tiny.clip_pretrained, feature_image_size=size
        )
    return lambda: build_extractor(settings, tmp_path, device="cpu")


class TestConformance:
    def test_shape_type_and_values(self, make: Callable[[], FeatureExtractor]) -> None:
        extractor = make()
        maps = extractor.extract(NOISE)
        assert maps.shape == (5, *extractor.map_shape(40, 24), extractor.channels)
        assert maps.dtype == np.float16
        assert np.isfinite(maps).all()
        assert np.abs(maps[0].astype(np.float32) - maps[1]).max() > 1e-3  # different images, different maps

    def test_is_deterministic(self, make: Callable[[], FeatureExtractor]) -> None:
        first, second = make(), make()
        assert first.key == second.key
        np.testing.assert_array_equal(first.extract(NOISE), second.extract(NOISE))

    def test_batch_does_not_matter(self, make: Callable[[], FeatureExtractor]) -> None:
        extractor = make()
        together = extractor.extract(NOISE)
        alone = np.concatenate([extractor.extract([image]) for image in NOISE])
        np.testing.assert_array_equal(together, alone)

    def test_number_of_threads_does_not_matter(self, make: Callable[[], FeatureExtractor]) -> None:
        import torch

        extractor, threads = make(), torch.get_num_threads()
        try:
            maps = []
            for count in (1, 3):
                torch.set_num_threads(count)
                maps.append(extractor.extract(NOISE))
                assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(threads)
        np.testing.assert_array_equal(*maps)

    def test_input_is_left_alone(self, make: Callable[[], FeatureExtractor]) -> None:
        images = [image.copy() for image in NOISE[:2]]
        make().extract(images)
        np.testing.assert_array_equal(images, NOISE[:2])

    def test_identity_is_json(self, make: Callable[[], FeatureExtractor]) -> None:
        identity = dict(make().identity)
        assert json.loads(json.dumps(identity)) == identity


@pytest.mark.parametrize(
    ("size", "patch", "long_side", "expected"),
    [
        ((640, 480), 14, 336, (18, 24)),  # 336 x 252: 24 and 18 patches exactly
        ((480, 640), 14, 336, (24, 18)),
        ((1280, 720), 14, 588, (24, 42)),  # 588 x 330.75: 42 and 23.6 patches
        ((160, 120), 8, 0, (15, 20)),
        ((270, 480), 8, 0, (60, 34)),  # 33.75 patches round up
        ((100, 50), 8, 0, (6, 13)),  # 12.5 rounds up, 6.25 down
        ((1000, 10), 16, 64, (1, 4)),  # never fewer than one
    ],
)
def test_map_shape(size: tuple[int, int], patch: int, long_side: int, expected: tuple[int, int]) -> None:
    assert map_shape(*size, patch_size=patch, long_side=long_side) == expected


def test_import_is_light() -> None:
    code = (
        "import sys, f3rm_core.features as f; f.FeatureSettings(); "
        "print(sorted({'torch', 'open_clip', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
