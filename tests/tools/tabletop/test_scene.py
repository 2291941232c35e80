"""The scene that ships is what its script makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import f3rm_core
from tools.tabletop.data import load_shard, render_shard, save_shard
from tools.tabletop.render import Renderer
from tools.tabletop.scene import load_scene_views, scene_cameras, scene_layout, scene_queries

FOLDER = Path(f3rm_core.__file__).parent / "scenes" / "embedded" / "tabletop"


@pytest.mark.parametrize("view", [0, 34, 58])
def test_pictures_and_masks_can_be_made_again(view: int) -> None:
    picture, mask = Renderer(scene_layout()).render(
        scene_cameras()[view], np.random.default_rng(view), subpixels=3, light_samples=2
    )
    assert np.array_equal(mask, np.asarray(Image.open(FOLDER / f"masks/view_{view:02d}.png")))
    shipped = np.asarray(Image.open(FOLDER / f"images/view_{view:02d}.jpg"), dtype=float)
    mean_squared = ((shipped - picture) ** 2).mean()
    assert 10 * np.log10(255**2 / mean_squared) > 28  # the shipped one has fewer grains, nothing else


def test_poses_and_queries_can_be_made_again() -> None:
    frames = json.loads((FOLDER / "transforms.json").read_text())["frames"]
    poses = [camera.camera_to_world for camera in scene_cameras()]
    assert np.allclose([frame["transform_matrix"] for frame in frames], poses, atol=1e-8)
    assert yaml.safe_load((FOLDER / "queries.yaml").read_text()) == scene_queries(scene_layout())


def test_a_shard_is_read_as_it_was_written(tmp_path: Path) -> None:
    shard = render_shard(seed=5, layouts=1)
    save_shard(shard, tmp_path / "train-000")
    again = load_shard(tmp_path / "train-000")
    assert np.array_equal(again.images, shard.images)
    assert np.array_equal(again.masks, shard.masks)
    assert again.kinds == shard.kinds
    assert not list(tmp_path.glob("*.partial"))
    assert int(shard.masks.max()) <= 3 + len(shard.kinds[0])


def test_the_scene_is_read_as_views_to_measure_on() -> None:
    views = load_scene_views(FOLDER)
    assert views.images.shape == (64, 144, 192, 3)
    assert views.masks.shape == (64, 144, 192)
    assert views.kinds[0][0] == ("teapot", "blue")  # the first object, id 4
    assert len(views.kinds[0]) == 10
