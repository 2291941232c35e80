"""Trains tabletop-mini on rendered scenes: `python -m tools.tabletop.train DATA OUT --minutes 90`.

The dense features themselves are trained, through the same path by which they are extracted later: patches are
classified by their similarity to the embeddings of queries, and each query has to find its patches in the batch.
New shards in DATA are taken up while it runs.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from f3rm_core.evaluation.language import CANONICAL_NEGATIVES, TEMPERATURE
from tools.tabletop.data import HEIGHT, WIDTH, Shard, load_shard
from tools.tabletop.evaluate import measure
from tools.tabletop.layout import BACKGROUND, FIRST_OBJECT_ID
from tools.tabletop.model import CONFIG, PATCH_SIZE, TabletopModel, Window
from tools.tabletop.muon import Muon
from tools.tabletop.queries import ABSENT, CLASS_NAMES, COLOUR_NAMES, LABELS, phrase

BATCH, CROP_PATCHES = 20, 10
CROP_PIXELS = CROP_PATCHES * PATCH_SIZE
SOURCE_PIXELS = (50, 106)
"""Sides of the squares that are cut out and resized to CROP_PIXELS: things are seen at 0.75 to 1.6 times their size."""

PEAK_MUON_RATE, PEAK_ADAM_RATE, WARMUP_STEPS, WEIGHT_DECAY = 2e-3, 1.2e-3, 150, 0.03
ABSENT_QUERIES = 3
BACKGROUND_WEIGHT = 0.3
MAJORITY = 0.6
"""A patch is labelled when one thing fills this much of it."""

UNLABELLED = -1


@dataclass(frozen=True)
class Batch:
    pixels: Tensor  # [crops, 3, CROP_PIXELS, CROP_PIXELS], in 0..1
    labels: Tensor  # [crops * patches], index into LABELS or UNLABELLED
    colours: Tensor  # [crops * patches], index into COLOUR_NAMES; UNLABELLED on the background
    regions: Tensor  # [crops * patches], a number for each thing in each crop


class Crops:
    """Random crops of the views in a folder that may still be growing."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._shards: dict[str, Shard] = {}
        self._rng = np.random.default_rng(seed)
        self._queue: list[tuple[str, int]] = []

    @property
    def views(self) -> int:
        return sum(len(shard.images) for shard in self._shards.values())

    def batch(self) -> Batch:
        crops = [self._crop() for _ in range(BATCH)]
        pixels, labels, colours, ids = zip(*crops, strict=True)
        regions = [256 * number + of_crop for number, of_crop in enumerate(ids)]
        as_tensor = [torch.from_numpy(np.concatenate(arrays)) for arrays in (labels, colours, regions)]
        return Batch(torch.cat(pixels), *as_tensor)

    def window(self) -> Window:
        """A part of the grid of positions, at the scale that it has in images 1 to 1.5 times the views' size."""
        grid = CONFIG["vision_cfg"]["image_size"] // PATCH_SIZE
        height, width = (round(CROP_PATCHES * self._rng.uniform(0.75, 1.45)) for _ in range(2))
        top, left = (int(self._rng.integers(0, grid - side + 1)) for side in (height, width))
        return Window((top, left), (height, width), (CROP_PATCHES, CROP_PATCHES))

    def _crop(self) -> tuple[Tensor, *tuple[NDArray[np.int64], ...]]:
        if not self._queue:
            self._refill()
        name, view = self._queue.pop()
        shard, rng = self._shards[name], self._rng
        side = int(np.exp(rng.uniform(*np.log(SOURCE_PIXELS))))
        top, left = int(rng.integers(0, HEIGHT - side + 1)), int(rng.integers(0, WIDTH - side + 1))
        image = shard.images[view, top : top + side, left : left + side]
        mask = shard.masks[view, top : top + side, left : left + side]
        nearest = ((np.arange(CROP_PIXELS) + 0.5) * side / CROP_PIXELS).astype(int)
        mask = mask[nearest][:, nearest]
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        pixels = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
        pixels = F.interpolate(pixels, (CROP_PIXELS, CROP_PIXELS), mode="bicubic", antialias=True, align_corners=False)
        tint = rng.uniform(0.85, 1.15) * rng.uniform(0.96, 1.04, (1, 3, 1, 1))
        pixels = pixels * torch.from_numpy(tint.astype(np.float32))
        if rng.random() < 0.3:
            pixels = pixels + 0.02 * torch.from_numpy(rng.normal(size=pixels.shape).astype(np.float32))
        return pixels.clamp(0, 1), *patch_labels(mask, shard.kinds[view])

    def _refill(self) -> None:
        for folder in sorted(self._folder.glob("train-[0-9][0-9][0-9]")):
            if folder.name not in self._shards:
                self._shards[folder.name] = load_shard(folder)
        views = [(name, view) for name, shard in self._shards.items() for view in range(len(shard.images))]
        self._queue = [views[index] for index in self._rng.permutation(len(views))]


def patch_labels(
    mask: NDArray[np.uint8],  # [CROP_PIXELS, CROP_PIXELS]
    kinds: Sequence[tuple[str, str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The label, the colour index and the mask id of each patch [patches]."""
    tiles = mask.reshape(CROP_PATCHES, PATCH_SIZE, CROP_PATCHES, PATCH_SIZE).swapaxes(1, 2).reshape(CROP_PATCHES**2, -1)
    labels = np.full(CROP_PATCHES**2, UNLABELLED, dtype=np.int64)
    colours, ids = labels.copy(), labels.copy()
    for mask_id in np.unique(mask):
        here = (tiles == mask_id).mean(1) >= MAJORITY
        ids[here] = mask_id
        if mask_id < FIRST_OBJECT_ID:
            labels[here] = LABELS.index(BACKGROUND[mask_id])
        else:
            name, colour = kinds[mask_id - FIRST_OBJECT_ID]
            labels[here], colours[here] = LABELS.index(name), COLOUR_NAMES.index(colour)
    return labels, colours, ids


def loss_of(model: TabletopModel, batch: Batch, window: Window, rng: random.Random) -> dict[str, Tensor]:
    """The parts of the loss; their sum is minimized."""
    classes, colours = len(CLASS_NAMES), len(COLOUR_NAMES)
    texts = [phrase(rng, label=label) for label in LABELS]
    texts += [phrase(rng, colour=colour) for colour in COLOUR_NAMES]
    texts += [phrase(rng, label=name, colour=colour) for name in CLASS_NAMES for colour in COLOUR_NAMES]
    texts += [phrase(rng, label=name) for name in rng.sample(ABSENT, ABSENT_QUERIES)]
    text = model.encode_text([*texts, *CANONICAL_NEGATIVES])
    negatives = text[len(texts) :]
    labels_end, colours_end, both_end = len(LABELS), len(LABELS) + colours, len(LABELS) + colours + classes * colours

    chosen = batch.labels != UNLABELLED
    features = F.normalize(model.dense(batch.pixels, window).flatten(0, 2)[chosen], dim=-1)  # [patches, channels]
    label, colour = batch.labels[chosen], batch.colours[chosen]
    is_object = label < classes
    both = torch.where(is_object, label * colours + colour, classes * colours + label - classes)

    similarity = features @ text[: len(texts)].T  # [patches, texts]
    scale = model.clip.logit_scale.exp().clamp(max=50)
    region, counts = torch.unique(batch.regions[chosen], return_inverse=True, return_counts=True)[1:]
    first = torch.full_like(counts, len(label)).scatter_reduce(0, region, torch.arange(len(label)), "amin")
    pooled = F.normalize(torch.zeros(len(counts), features.shape[1]).index_add(0, region, features), dim=-1)

    def right(similarities: Tensor, label: Tensor, both: Tensor, weight: Tensor) -> Tensor:
        """How well the label, and the colour with it, are told from all others, by weighted cross entropy."""
        logits = scale * similarities
        every = torch.cat([logits[:, colours_end:both_end], logits[:, classes:labels_end]], 1)
        by_label = F.cross_entropy(logits[:, :labels_end], label, reduction="none")
        by_both = F.cross_entropy(every, both, reduction="none")
        return ((by_label + 0.5 * by_both) * weight).sum() / weight.sum()

    # a thing counts by the root of its size, so that near objects do not drown the others
    weight = torch.where(is_object, 1.0, BACKGROUND_WEIGHT) / counts[region].sqrt()
    region_weight = torch.where(is_object[first], 1.0, BACKGROUND_WEIGHT)
    by_colour = F.cross_entropy(scale * similarity[:, labels_end:colours_end], colour, ignore_index=UNLABELLED)

    # relevancy's logit, and whether a text is true of a patch
    margin = (similarity - (features @ negatives.T).amax(1, keepdim=True)) / TEMPERATURE
    truth = torch.zeros_like(margin, dtype=torch.bool)
    rows = torch.arange(len(label))
    truth[rows, label] = True
    truth[rows[is_object], labels_end + colour[is_object]] = True
    truth[rows[is_object], colours_end + both[is_object]] = True
    wrong = F.binary_cross_entropy_with_logits(margin, truth.float(), reduction="none")
    present = truth.any(0)
    found = torch.logsumexp(margin.masked_fill(~truth, -math.inf)[:, present], 0)
    finding = torch.logsumexp(margin[:, present], 0) - found  # [present queries]
    return {
        "patches": right(similarity, label, both, weight),
        "regions": 0.5 * right(pooled @ text[: len(texts)].T, label[first], both[first], region_weight),
        "colour": 0.2 * by_colour,
        "relevancy": 0.6 * wrong[truth].mean() + 1.0 * wrong[~truth].mean(),
        "finding": 0.4 * finding.mean(),
    }


def train(data: Path, out: Path, minutes: float, seed: int, start_from: Path | None) -> None:
    torch.manual_seed(seed)
    rng, crops, model = random.Random(seed), Crops(data, seed), TabletopModel()
    if start_from is not None:
        model.load_state_dict(torch.load(start_from))
    validation = load_shard(data / "validation-000")
    optimizers = _optimizers(model)
    out.mkdir(parents=True, exist_ok=True)
    start, paused, step, next_check = time.monotonic(), 0.0, 0, 4.0
    sums: dict[str, float] = {}
    while (progress := (time.monotonic() - start - paused) / (60 * minutes)) < 1:
        share = min(1, (step + 1) / WARMUP_STEPS) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for optimizer, peak in zip(optimizers, (PEAK_MUON_RATE, PEAK_ADAM_RATE), strict=True):
            optimizer.param_groups[0]["lr"] = peak * share
        parts = loss_of(model, crops.batch(), crops.window(), rng)
        model.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if step % 100 == 0:
            means = {name: round(total / 100, 3) for name, total in sums.items()}
            print(f"step {step} {progress * minutes:.1f} min views {crops.views} {means}", flush=True)
            sums = {}
        if progress * minutes >= next_check:
            before = time.monotonic()
            _check(model, validation, out, step, progress * minutes)
            paused += time.monotonic() - before
            next_check += 6
    _check(model, validation, out, step, minutes)


def _check(model: TabletopModel, validation: Shard, out: Path, step: int, minutes: float) -> None:
    """Measures on some validation views, and keeps the weights."""
    model.eval()
    figures = measure(model, validation, views=range(0, len(validation.images), 2)).summary()
    model.train()
    line = {"step": step, "minutes": round(minutes, 1), **{name: round(value, 4) for name, value in figures.items()}}
    with (out / "curve.jsonl").open("a") as curve:
        curve.write(json.dumps(line) + "\n")
    print(line, flush=True)
    partial = out / "model.partial"
    torch.save(model.state_dict(), partial)
    partial.replace(out / "model.pt")


def _optimizers(model: TabletopModel) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the vision tower's blocks, AdamW for all else."""
    blocks = model.clip.visual.transformer.parameters()
    matrices = [parameter for parameter in blocks if parameter.ndim == 2]
    inside = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    return [
        Muon(matrices, lr=PEAK_MUON_RATE, weight_decay=WEIGHT_DECAY),
        torch.optim.AdamW(rest, lr=PEAK_ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of shards, with validation-000")
    parser.add_argument("out", type=Path, help="model.pt and curve.jsonl are written there")
    parser.add_argument("--minutes", type=float, required=True, help="of training; the learning rate falls over them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-from", type=Path, help="a model.pt to go on from")
    options = parser.parse_args(arguments)
    train(options.data, options.out, options.minutes, options.seed, options.start_from)


if __name__ == "__main__":
    main()
