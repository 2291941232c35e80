"""A small scene that any test can train on: views of a room whose colour is known at every point of its walls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TINY_PARAMETERS = {
    "num_levels": 4,
    "max_res": 64,
    "log2_hashmap_size": 12,
    "feat_num_levels": 2,
    "feat_max_res": 32,
    "feat_log2_hashmap_size": 12,
    "feat_features_per_level": 2,
    "feat_hidden_dim": 16,
    "hidden_dim": 16,
    "hidden_dim_color": 16,
    "num_proposal_samples_per_ray": [16, 8],
    "num_nerf_samples_per_ray": 8,
    "train_num_rays_per_batch": 128,
    "eval_num_rays_per_chunk": 512,
    "camera_opt_mode": "off",
    "clip_model": "tabletop-mini",
    "clip_pretrained": "embedded",
    "threads": 1,
}
"""A configuration that trains a step in a few milliseconds."""


@pytest.fixture
def tiny_parameters() -> dict[str, object]:
    return dict(TINY_PARAMETERS)


@pytest.fixture(scope="session")
def tiny_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a scene in nerfstudio format: 16 views of 32x24 pixels, two of them held out by name."""
    return write_room(tmp_path_factory.mktemp("scene") / "room", views=16, held_out=2)


def write_room(folder: Path, *, views: int, held_out: int, width: int = 32, height: int = 24) -> Path:
    """Write views of a cubic room from cameras on a ring, looking across its middle."""
    (folder / "images").mkdir(parents=True)
    focal = 0.6 * width
    frames = []
    for index in range(views):
        angle = 2 * np.pi * index / views
        pose = _look_across(angle)
        x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
        directions = np.stack([x / focal, -y / focal, -np.ones_like(x)], -1) @ pose[:3, :3].T
        Image.fromarray(_room_colors(pose[:3, 3], directions)).save(folder / "images" / f"{index:02d}.png")
        frames.append({"file_path": f"images/{index:02d}.png", "transform_matrix": pose.tolist()})
    names = [str(frame["file_path"]) for frame in frames]
    transforms = {
        "camera_model": "OPENCV",
        "fl_x": focal,
        "fl_y": focal,
        "cx": width / 2,
        "cy": height / 2,
        "w": width,
        "h": height,
        "frames": frames,
    }
    if held_out:
        chosen = names[1 :: views // held_out][:held_out]
        transforms |= {"train_filenames": [name for name in names if name not in chosen]}
        transforms |= {"val_filenames": chosen, "test_filenames": chosen}
    (folder / "transforms.json").write_text(json.dumps(transforms))
    return folder


def _look_across(angle: float) -> np.ndarray:  # [4, 4], camera to world, looking along -z
    backward = np.array([np.cos(angle), np.sin(angle), 0.3 * np.sin(3 * angle)])
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(backward, right), backward], -1)
    pose[:3, 3] = 1.2 * backward
    return pose


def _room_colors(origin: np.ndarray, directions: np.ndarray) -> np.ndarray:  # [..., 3] -> uint8 [..., 3]
    """Colour where each ray meets the cube [-2, 2]^3 from within."""
    with np.errstate(divide="ignore"):
        distance = np.min((2.0 * np.sign(directions) - origin) / directions, axis=-1, keepdims=True)
    point = origin + distance * directions
    color = 0.5 + 0.25 * np.sin(2.0 * point) + 0.2 * np.cos(1.5 * point[..., [1, 2, 0]])
    return (np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8)
