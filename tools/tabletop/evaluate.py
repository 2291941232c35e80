"""Measures the small model on scenes it never saw: `python -m tools.tabletop.evaluate FOLDER [--weights FILE]`.

The weight file is measured as it ships, through the code that extracts the features of real CLIP.

A view asks for every class and every colour + class that it shows on at least MIN_PIXELS pixels.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from f3rm_core.evaluation.language import (
    CANONICAL_NEGATIVES,
    intersection_over_union,
    is_localized,
    mask_of,
    relevancy,
    upsampled,
)
from f3rm_core.features.clip import ClipExtractor
from f3rm_core.features.embedded import EMBEDDED_FILE
from f3rm_core.features.settings import FeatureSettings
from tools.tabletop.data import Shard, load_shard
from tools.tabletop.layout import FIRST_OBJECT_ID
from tools.tabletop.model import MODEL_NAME
from tools.tabletop.scene import load_scene_views

MIN_PIXELS = 100


@dataclass
class Figures:
    """Results of queries of one kind."""

    localized: list[float] = field(default_factory=list)
    iou: list[float] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)  # the mask's share of the view
    by_class: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, relevancy_map: NDArray[np.float32], mask: NDArray[np.bool_], name: str) -> None:
        hit = float(is_localized(relevancy_map, mask))
        self.localized.append(hit)
        self.by_class[name].append(hit)
        self.iou.append(intersection_over_union(relevancy_map, mask))
        self.chance.append(float(mask.mean()))


@dataclass
class Measurement:
    """`class_alone` "mug", `colour_class` "red mug", `control` "red object" against the mask of the red mugs."""

    class_alone: Figures = field(default_factory=Figures)
    colour_class: Figures = field(default_factory=Figures)
    control: Figures = field(default_factory=Figures)

    def summary(self) -> dict[str, float]:
        result: dict[str, float] = {}
        for kind in ("class_alone", "colour_class", "control"):
            figures: Figures = getattr(self, kind)
            result[f"{kind}_localization"] = float(np.mean(figures.localized))
            result[f"{kind}_iou"] = float(np.mean(figures.iou))
            result[f"{kind}_chance"] = float(np.mean(figures.chance))
            result[f"{kind}_queries"] = float(len(figures.localized))
        return result


class Measured(Protocol):
    """What is measured: a TabletopModel in training, a ClipExtractor afterwards."""

    def encode_text(self, queries: Sequence[str]) -> Tensor:
        """[queries, channels]"""

    def features(self, image: NDArray[np.uint8]) -> Tensor:
        """[rows, columns, channels] of an image [height, width, 3]."""


class Shipped:
    """A compact weight file, behind the extractor that the project uses."""

    def __init__(self, weights: Path, feature_image_size: int) -> None:
        settings = FeatureSettings(
            clip_model=MODEL_NAME, clip_pretrained=str(weights), feature_image_size=feature_image_size
        )
        self._extractor = ClipExtractor(settings, device="cpu")

    def encode_text(self, queries: Sequence[str]) -> Tensor:
        return self._extractor.encode_text(queries)

    def features(self, image: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(self._extractor.extract([image])[0].astype(np.float32))


def measure(model: Measured, shard: Shard, *, views: Iterable[int] | None = None) -> Measurement:
    """Localization and IoU of relevancy on views of the shard (all of them by default)."""
    result = Measurement()
    with torch.inference_mode():
        negatives = model.encode_text(list(CANONICAL_NEGATIVES))
        for view in views if views is not None else range(len(shard.images)):
            maps = model.features(shard.images[view])
            asked = _questions(shard.masks[view], shard.kinds[view], result)
            if not asked:
                continue
            texts = model.encode_text([question.text for question in asked])
            relevancies = upsampled(relevancy(maps, texts, negatives), *shard.masks[view].shape)
            for question, relevancy_map in zip(asked, relevancies, strict=True):
                question.figures.add(relevancy_map, question.mask, question.name)
    return result


@dataclass(frozen=True)
class Question:
    text: str
    name: str  # of the class asked for
    mask: NDArray[np.bool_]  # [height, width], where the answer is
    figures: Figures  # where the result goes


def _questions(
    ids: NDArray[np.uint8],  # [height, width]
    kinds: Sequence[tuple[str, str]],
    result: Measurement,
) -> list[Question]:
    """What a view is asked for."""

    def mask(name: str, colour: str | None = None) -> NDArray[np.bool_]:
        right = [i + FIRST_OBJECT_ID for i, kind in enumerate(kinds) if kind[0] == name and colour in (None, kind[1])]
        return mask_of(ids, right)

    asked = [Question(name, name, mask(name), result.class_alone) for name in sorted({name for name, _ in kinds})]
    for name, colour in sorted(set(kinds)):
        asked.append(Question(f"{colour} {name}", name, mask(name, colour), result.colour_class))
        asked.append(Question(f"{colour} object", name, mask(name, colour), result.control))
    return [question for question in asked if question.mask.sum() >= MIN_PIXELS]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what tools.tabletop.data or tools.tabletop.scene wrote")
    parser.add_argument("--weights", type=Path, default=EMBEDDED_FILE, help="a compact weight file")
    parser.add_argument("--feature-image-size", type=int, default=256, help="long side that views are resized to")
    options = parser.parse_args(arguments)
    is_scene = (options.folder / "transforms.json").exists()
    views = load_scene_views(options.folder) if is_scene else load_shard(options.folder)
    result = measure(Shipped(options.weights, options.feature_image_size), views)
    per_class = {name: round(float(np.mean(hits)), 3) for name, hits in sorted(result.class_alone.by_class.items())}
    both = {name: round(float(np.mean(hits)), 3) for name, hits in sorted(result.colour_class.by_class.items())}
    summary = {name: round(value, 4) for name, value in result.summary().items()}
    print(json.dumps({**summary, "class_alone_by_class": per_class, "colour_class_by_class": both}, indent=2))


if __name__ == "__main__":
    main()
