"""Renders scenes to train and to measure the small model on: `python -m tools.tabletop.data FOLDER --shards 20`.

None of them is the scene that ships: that one is written by hand in scene.py, these are drawn at random.
A shard is a folder with images.npy, masks.npy and views.json; it is complete once it has its final name.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.tabletop.layout import random_layout, shape_library
from tools.tabletop.render import Camera, Renderer, looking_at

WIDTH, HEIGHT = 192, 144
VIEWS_PER_LAYOUT = 2
SHAPES_PER_CLASS = 6
SEEDS = {"train": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
"""First seed of each split: shapes, colours, layouts and cameras of two splits share nothing."""


@dataclass(frozen=True)
class Shard:
    """Rendered views; view i shows the objects kinds[i], whose mask ids count up from FIRST_OBJECT_ID."""

    images: NDArray[np.uint8]  # [views, height, width, 3], sRGB
    masks: NDArray[np.uint8]  # [views, height, width]
    kinds: tuple[tuple[tuple[str, str], ...], ...]  # for each view, (class, colour) of each object


def render_shard(seed: int, layouts: int) -> Shard:
    rng = np.random.default_rng(seed)
    shapes = shape_library(rng, SHAPES_PER_CLASS)
    images, masks, kinds = [], [], []
    for _ in range(layouts):
        layout = random_layout(rng, shapes)
        renderer = Renderer(layout)
        for _ in range(VIEWS_PER_LAYOUT):
            image, mask = renderer.render(random_camera(rng), rng, light_samples=2)
            images.append(image)
            masks.append(mask)
            kinds.append(tuple((item.name, item.colour) for item in layout.items))
    return Shard(np.stack(images), np.stack(masks), tuple(kinds))


def random_camera(rng: np.random.Generator) -> Camera:
    """A camera above the table's edge, looking at the objects."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(16, 65))
    direction = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    target = np.array([*rng.uniform(-0.6, 0.6, 2), rng.uniform(0.1, 0.6)])
    field_of_view_rad = np.deg2rad(rng.uniform(42, 58))
    focal_pixels = WIDTH / 2 / np.tan(field_of_view_rad / 2)
    return looking_at(target + rng.uniform(4.3, 6.6) * direction, target, focal_pixels, WIDTH, HEIGHT)


def save_shard(shard: Shard, folder: Path) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    np.save(partial / "images.npy", shard.images)
    np.save(partial / "masks.npy", shard.masks)
    (partial / "views.json").write_text(json.dumps(shard.kinds))
    os.replace(partial, folder)


def load_shard(folder: Path) -> Shard:
    kinds = json.loads((folder / "views.json").read_text())
    return Shard(
        images=np.load(folder / "images.npy"),
        masks=np.load(folder / "masks.npy"),
        kinds=tuple(tuple((name, colour) for name, colour in view) for view in kinds),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="shards are written to FOLDER/SPLIT-NUMBER")
    parser.add_argument("--split", choices=sorted(SEEDS), default="train")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--layouts", type=int, default=100, help="layouts in a shard, two views each")
    options = parser.parse_args(arguments)
    for number in range(options.shards):
        folder = options.folder / f"{options.split}-{number:03d}"
        if not folder.exists():
            save_shard(render_shard(SEEDS[options.split] + number, options.layouts), folder)


if __name__ == "__main__":
    main()
