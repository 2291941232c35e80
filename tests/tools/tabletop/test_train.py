from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch

from tools.tabletop.data import Shard, save_shard
from tools.tabletop.layout import BACKGROUND
from tools.tabletop.model import TabletopModel
from tools.tabletop.queries import COLOUR_NAMES, LABELS
from tools.tabletop.train import CROP_PATCHES, CROP_PIXELS, UNLABELLED, Crops, loss_of, patch_labels, train


def shard(views: int = 4) -> Shard:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (views, 144, 192, 3), dtype=np.uint8)
    masks = np.full((views, 144, 192), 2, np.uint8)
    masks[:, 40:100, 30:90], masks[:, 40:100, 110:170] = 4, 5
    images[masks == 4] = (200, 20, 20)
    return Shard(images, masks, ((("mug", "red"), ("duck", "blue")),) * views)


def test_a_patch_has_the_label_of_what_fills_it() -> None:
    mask = np.full((CROP_PIXELS, CROP_PIXELS), BACKGROUND.index("cloth"), np.uint8)
    mask[:8, :8] = 5  # the first patch is all of the duck
    mask[:8, 8:12] = 4  # the second half a mug, half cloth
    labels, colours, ids = patch_labels(mask, [("mug", "red"), ("duck", "blue")])
    assert len(labels) == CROP_PATCHES**2
    assert (labels[0], colours[0], ids[0]) == (LABELS.index("duck"), COLOUR_NAMES.index("blue"), 5)
    assert labels[1] == colours[1] == ids[1] == UNLABELLED
    assert (labels[2:] == LABELS.index("cloth")).all()
    assert (colours[2:] == UNLABELLED).all()


def test_crops_take_up_new_shards(tmp_path: Path) -> None:
    save_shard(shard(2), tmp_path / "train-000")
    crops = Crops(tmp_path, seed=0)
    batch = crops.batch()
    assert crops.views == 2
    assert batch.pixels.shape[1:] == (3, CROP_PIXELS, CROP_PIXELS)
    assert batch.labels.shape == (len(batch.pixels) * CROP_PATCHES**2,)
    assert {int(label) for label in batch.labels} <= {UNLABELLED, *(LABELS.index(x) for x in ("table", "mug", "duck"))}
    save_shard(shard(3), tmp_path / "train-001")
    crops.batch()
    assert crops.views == 5


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    save_shard(shard(), tmp_path / "train-000")
    torch.manual_seed(0)
    model, crops, rng = TabletopModel(), Crops(tmp_path, seed=0), random.Random(0)
    batch, window = crops.batch(), crops.window()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    totals = []
    for _ in range(5):
        parts = loss_of(model, batch, window, rng)
        assert set(parts) == {"patches", "regions", "colour", "relevancy", "finding"}
        total = torch.stack(list(parts.values())).sum()
        totals.append(total.item())
        model.zero_grad()
        total.backward()
        optimizer.step()
    assert totals[-1] < 0.8 * totals[0]


def test_a_training_leaves_weights_and_its_curve(tmp_path: Path) -> None:
    save_shard(shard(), tmp_path / "train-000")
    save_shard(shard(), tmp_path / "validation-000")
    train(tmp_path, tmp_path / "out", minutes=0.02, seed=0, start_from=None)
    curve = [json.loads(line) for line in (tmp_path / "out" / "curve.jsonl").read_text().splitlines()]
    assert curve[-1]["step"] >= 1
    assert curve[-1]["class_alone_queries"] == 4  # two of the four views are measured, two classes in each
    model = TabletopModel()
    model.load_state_dict(torch.load(tmp_path / "out" / "model.pt"))
