"""Measures the small model on scenes it never saw: `python -m tools.tabletop.evaluate DATA MODEL`.

A view asks for every class and every colour + class that it shows on at least MIN_PIXELS pixels.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from f3rm_core.evaluation.language import (
    CANONICAL_NEGATIVES,
    intersection_over_union,
    is_localized,
    mask_of,
    relevancy,
    upsampled,
)
from tools.tabletop.data import Shard, load_shard
from tools.tabletop.layout import FIRST_OBJECT_ID
from tools.tabletop.model import PATCH_SIZE, TabletopModel

MIN_PIXELS = 100
UPSCALING = 4 / 3
"""Views are enlarged by this before they are given to the model."""


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


def measure(
    model: TabletopModel, shard: Shard, *, views: Iterable[int] | None = None, upscaling: float = UPSCALING
) -> Measurement:
    """Localization and IoU of relevancy on views of the shard (all of them by default)."""
    result = Measurement()
    model.eval()
    with torch.inference_mode():
        negatives = model.encode_text(list(CANONICAL_NEGATIVES))
        for view in views if views is not None else range(len(shard.images)):
            maps = model.dense(enlarged(shard.images[view], upscaling))[0]  # [rows, columns, channels]
            asked = _questions(shard.masks[view], shard.kinds[view], result)
            if not asked:
                continue
            texts = model.encode_text([question.text for question in asked])
            relevancies = upsampled(relevancy(maps, texts, negatives), *shard.masks[view].shape)
            for question, relevancy_map in zip(asked, relevancies, strict=True):
                question.figures.add(relevancy_map, question.mask, question.name)
    model.train()
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


def enlarged(image: np.ndarray, upscaling: float = UPSCALING) -> Tensor:
    """The view as the model is given it: [1, 3, height, width], whole patches, in 0..1."""
    height, width = (round(side * upscaling / PATCH_SIZE) * PATCH_SIZE for side in image.shape[:2])
    pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return F.interpolate(pixels, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shard", type=Path, help="a folder that tools.tabletop.data wrote")
    parser.add_argument("model", type=Path, help="model.pt of a training")
    parser.add_argument("--upscaling", type=float, default=UPSCALING)
    options = parser.parse_args(arguments)
    model = TabletopModel()
    model.load_state_dict(torch.load(options.model))
    result = measure(model, load_shard(options.shard), upscaling=options.upscaling)
    per_class = {name: round(float(np.mean(hits)), 3) for name, hits in sorted(result.class_alone.by_class.items())}
    both = {name: round(float(np.mean(hits)), 3) for name, hits in sorted(result.colour_class.by_class.items())}
    summary = {name: round(value, 4) for name, value in result.summary().items()}
    print(json.dumps({**summary, "class_alone_by_class": per_class, "colour_class_by_class": both}, indent=2))


if __name__ == "__main__":
    main()
