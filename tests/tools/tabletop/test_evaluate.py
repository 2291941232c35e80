"""The measurement, with models whose result is known before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tools.tabletop.data import Shard
from tools.tabletop.evaluate import measure
from tools.tabletop.model import PATCH_SIZE, enlarged

WORDS = ("red", "blue", "mug", "ball", "object", "things", "stuff", "texture")
COLOUR_OF_PIXEL = {"red mug": (255, 0, 0), "blue mug": (0, 0, 255), "red ball": (255, 255, 0)}


class Oracle:
    """Knows each pixel's words from its colour; a query is the sum of its words."""

    def __init__(self, knows: tuple[str, ...]) -> None:
        self._knows = knows

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack([self._embedding(text) for text in texts])

    def features(self, image: np.ndarray) -> torch.Tensor:
        middles = image[PATCH_SIZE // 2 :: PATCH_SIZE, PATCH_SIZE // 2 :: PATCH_SIZE]  # of each patch
        result = torch.zeros(*middles.shape[:2], len(WORDS))
        for text, colour in COLOUR_OF_PIXEL.items():
            result[torch.from_numpy((middles == colour).all(-1))] = self._embedding(text)
        return result

    def _embedding(self, text: str) -> torch.Tensor:
        return torch.tensor([float(word in text.split() and word in self._knows) for word in WORDS])


@pytest.fixture
def shard() -> Shard:
    """One view: a red mug, a blue mug and a red ball, as squares of 32 x 32 on black; the ball lies first."""
    image, mask = np.zeros((96, 160, 3), np.uint8), np.zeros((96, 160), np.uint8)
    kinds = (("mug", "red"), ("mug", "blue"), ("ball", "red"))
    for index, (left, (name, colour)) in enumerate(zip((56, 104, 8), kinds, strict=True)):
        image[32:64, left : left + 32] = COLOUR_OF_PIXEL[f"{colour} {name}"]
        mask[32:64, left : left + 32] = 4 + index
    return Shard(image[None], mask[None], (kinds,))


def test_a_model_that_knows_all_words_finds_all(shard: Shard) -> None:
    summary = measure(Oracle(WORDS), shard).summary()
    assert summary["class_alone_queries"] == 2
    assert summary["colour_class_queries"] == summary["control_queries"] == 3
    assert summary["class_alone_localization"] == summary["colour_class_localization"] == 1
    assert summary["colour_class_chance"] == pytest.approx(32 * 32 / (96 * 160))
    assert summary["class_alone_chance"] == pytest.approx(1.5 * 32 * 32 / (96 * 160))  # two mugs, one ball


def test_the_control_is_what_colour_alone_gives(shard: Shard) -> None:
    """Asked for "red object", the ball and the red mug are alike, and the ball lies first: 2 of 3 are found."""
    by_colour = measure(Oracle(("red", "blue", "object")), shard).summary()
    assert by_colour["control_localization"] == pytest.approx(2 / 3)
    assert by_colour["colour_class_localization"] == pytest.approx(2 / 3)
    assert by_colour["class_alone_localization"] == 0


def test_small_masks_are_not_asked_for(shard: Shard) -> None:
    shard.masks[shard.masks == 5] = 0
    shard.masks[0, 0, :99] = 5  # the blue mug: 99 pixels
    summary = measure(Oracle(WORDS), shard).summary()
    assert summary["colour_class_queries"] == 2


def test_views_are_enlarged_to_whole_patches() -> None:
    assert enlarged(np.zeros((144, 192, 3), np.uint8), 4 / 3).shape == (1, 3, 192, 256)
