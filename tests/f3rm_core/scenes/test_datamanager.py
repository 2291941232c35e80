"""Scenes as users have them come to be trained on: the right files, cameras of the images' own size."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from f3rm_core import SceneError, build_config
from f3rm_core.scenes.datamanager import FeatureDataManager
from f3rm_core.training.quiet import quiet_nerfstudio
from tests.conftest import TINY_PARAMETERS, write_room


def opened(folder: Path, **changes: object) -> FeatureDataManager:
    config = build_config({**TINY_PARAMETERS, **changes}).pipeline.datamanager
    config.data = folder
    with quiet_nerfstudio():
        manager: FeatureDataManager = config.setup(device="cpu")
    return manager


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("F3RM_CACHE_DIR", str(tmp_path / "cache"))


def test_wide_images_are_read_at_full_size_though_smaller_ones_lie_beside(tmp_path: Path) -> None:
    """`ns-process-data` writes images_2, _4 and _8, of which nerfstudio would take one."""
    scene = write_room(tmp_path / "wide", views=4, held_out=1, width=1604, height=24)
    (scene / "images_2").mkdir()
    for path in (scene / "images").iterdir():
        with Image.open(path) as image:
            image.resize((802, 12)).save(scene / "images_2" / path.name)
    data = opened(scene)
    assert {path.parent.name for path in data.train_dataset.image_filenames} == {"images"}
    assert data.train_dataset.cameras.width.unique().tolist() == [1604]


def test_a_scene_of_which_nothing_is_held_out_is_refused_before_training(tmp_path: Path) -> None:
    scene = write_room(tmp_path / "few", views=5, held_out=0)
    with pytest.raises(SceneError, match=r"5 views, of which train_split_fraction=0\.9 holds out none"):
        opened(scene)
    assert len(opened(scene, train_split_fraction=0.8).eval_dataset) == 1


@pytest.mark.parametrize("scale", [0.35, 0.65, 0.7])
def test_cameras_have_the_size_of_the_pixels_that_were_read(scale: float, tmp_path: Path) -> None:
    """720 * 0.7 is 503.99... in float64, by which images are scaled, and 504 in the float32 of nerfstudio's cameras."""
    data = opened(
        write_room(tmp_path / "room", views=4, held_out=1, width=40, height=720), camera_res_scale_factor=scale
    )
    size = data.arrays.images.shape[1:3]
    for dataset in (data.train_dataset, data.eval_dataset):
        assert {(int(h), int(w)) for h, w in zip(dataset.cameras.height, dataset.cameras.width, strict=True)} == {size}
    assert data.eval_rays(0).shape == data.eval_image(0).shape[:2] == size


def test_a_scene_may_be_named_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ns-train f3rm --data room`, of a folder that is a link."""
    write_room(tmp_path / "room", views=4, held_out=1)
    (tmp_path / "link").symlink_to(tmp_path / "room")
    monkeypatch.chdir(tmp_path)
    assert len(opened(Path("link")).train_dataset) == 3
