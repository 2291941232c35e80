"""The scene that ships: complete, small, and its cameras, pictures and masks belong together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import f3rm_core
from f3rm_core.scenes.load import load_scene

FOLDER = Path(f3rm_core.__file__).parent / "scenes" / "embedded" / "tabletop"
BALL_CENTRE, BALL_RADIUS = np.array([1.8, -1.2, 0.45]), 0.42  # a point inside the orange ball, and a radius within it


@pytest.fixture(scope="module")
def transforms() -> dict:
    return json.loads((FOLDER / "transforms.json").read_text())


@pytest.fixture(scope="module")
def queries() -> dict:
    return yaml.safe_load((FOLDER / "queries.yaml").read_text())


@pytest.fixture(scope="module")
def masks(transforms: dict) -> dict[str, np.ndarray]:
    names = [frame["file_path"] for frame in transforms["frames"]]
    return {name: np.asarray(Image.open(FOLDER / "masks" / f"{Path(name).stem}.png")) for name in names}


def test_it_is_a_scene_with_held_out_views_by_name() -> None:
    scene = load_scene("embedded:tabletop")
    assert (scene.width, scene.height) == (192, 144)
    assert (len(scene.images), len(scene.train_images), len(scene.eval_images)) == (64, 56, 8)


def test_it_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 3_000_000


def test_poses_are_rigid_and_look_at_the_table(transforms: dict) -> None:
    for frame in transforms["frames"]:
        pose = np.array(frame["transform_matrix"])
        assert np.allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-6)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1, abs=1e-6)
        eye, forward = pose[:3, 3], -pose[:3, 2]
        nearest = eye - (eye @ forward) * forward  # of the optical axis to the table's middle
        assert np.linalg.norm(nearest) < 0.6
        assert pose[2, 1] > 0.4  # up is up


def test_poses_and_masks_agree_on_where_the_ball_is(
    transforms: dict, masks: dict[str, np.ndarray], queries: dict
) -> None:
    """A point that the masks' ids know nothing of, projected by the poses alone."""
    ball = next(index for index, what in queries["ids"].items() if what == {"name": "ball", "colour": "orange"})
    hits, inside = 0, 0
    for frame in transforms["frames"]:
        local = np.linalg.inv(np.array(frame["transform_matrix"])) @ [*BALL_CENTRE, 1]
        x = transforms["fl_x"] * local[0] / -local[2] + transforms["cx"]
        y = transforms["cy"] - transforms["fl_y"] * local[1] / -local[2]
        if 0 <= x < transforms["w"] and 0 <= y < transforms["h"]:
            inside += 1
            hits += masks[frame["file_path"]][int(y), int(x)] == ball
    assert inside >= 50
    assert hits >= 0.75 * inside  # in the others something stands in front of it


def test_held_out_views_lie_between_training_views(transforms: dict) -> None:
    eyes = {frame["file_path"]: np.array(frame["transform_matrix"])[:3, 3] for frame in transforms["frames"]}
    assert not set(transforms["train_filenames"]) & set(transforms["val_filenames"])
    for name in transforms["val_filenames"]:
        side = np.cross([0, 0, 1.0], eyes[name])
        near = [eyes[other] - eyes[name] for other in transforms["train_filenames"]]
        near = [step for step in near if np.linalg.norm(step) < 2.6]
        assert any(step @ side > 0 for step in near)
        assert any(step @ side < 0 for step in near)


def test_masks_have_the_pictures_size_and_known_ids(masks: dict[str, np.ndarray], queries: dict) -> None:
    for name, mask in masks.items():
        assert mask.shape == (144, 192), name
        assert set(np.unique(mask)) <= set(queries["ids"]), name


def test_every_object_is_seen_often(masks: dict[str, np.ndarray], queries: dict) -> None:
    for index, what in queries["ids"].items():
        if "colour" in what:
            assert sum((mask == index).sum() >= 100 for mask in masks.values()) >= 40, what


def test_masks_are_not_named_to_nerfstudio(transforms: dict) -> None:
    """nerfstudio would leave the masked pixels out of training."""
    assert not any("mask_path" in frame for frame in transforms["frames"])


def test_queries_name_what_their_ids_are(queries: dict) -> None:
    assert {query["kind"] for query in queries["queries"]} == {"class", "colour and class"}
    for query in queries["queries"]:
        for index, what in queries["ids"].items():
            full_name = f"{what.get('colour')} {what['name']}"
            right = what["name"] if query["kind"] == "class" else full_name
            assert (index in query["ids"]) == (query["text"] == right), query
