"""A scene is checked before anything is trained."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from f3rm_core import SceneError, check_scored, embedded_scenes, load_scene, scene_digest
from f3rm_core.scenes.load import held_out_views
from f3rm_core.scenes.transforms import CAMERA_MODELS
from tests.conftest import write_room


@pytest.fixture
def scene(tiny_scene: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_scene, tmp_path / "room"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "transforms.json"
    transforms = json.loads(path.read_text())
    change(transforms)
    path.write_text(json.dumps(transforms))


def test_a_good_scene(scene: Path) -> None:
    loaded = load_scene(str(scene))
    assert (loaded.name, loaded.width, loaded.height) == ("room", 32, 24)
    assert (len(loaded.images), len(loaded.train_images), len(loaded.eval_images)) == (16, 14, 2)
    assert "psnr" in loaded.metrics
    assert "lpips" not in loaded.metrics


def test_without_named_splits_a_share_is_held_out_later(scene: Path) -> None:
    def forget(transforms: dict[str, Any]) -> None:
        for key in ("train_filenames", "val_filenames", "test_filenames"):
            del transforms[key]

    rewrite(scene, forget)
    assert load_scene(str(scene)).eval_images == ()


class TestHeldOut:
    def test_the_share_trained_on_is_rounded_up(self) -> None:
        assert [held_out_views(count, 0.9) for count in (2, 9, 10, 11, 19, 20)] == [0, 0, 1, 1, 1, 2]

    def test_too_few_views_are_named_with_a_share_that_leaves_one(self, tmp_path: Path) -> None:
        few = load_scene(str(write_room(tmp_path / "few", views=9, held_out=0)))
        with pytest.raises(SceneError) as caught:
            check_scored(few, 0.9, 1.0)
        assert str(caught.value) == (
            f"scene {tmp_path / 'few'}: 9 views, of which train_split_fraction=0.9 holds out none; "
            "give at most 0.88, or name train_filenames and val_filenames in transforms.json"
        )
        check_scored(few, 0.88, 1.0)
        check_scored(load_scene(str(write_room(tmp_path / "named", views=3, held_out=1))), 0.99, 1.0)

    @pytest.mark.parametrize("count", range(2, 100))
    def test_the_share_named_leaves_one(self, count: int, tiny_scene: Path) -> None:
        views = replace(load_scene(str(tiny_scene)), images=("view",) * count, eval_images=())
        with pytest.raises(SceneError) as caught:
            check_scored(views, 0.995, 1.0)
        check_scored(views, float(str(caught.value).partition("at most ")[2].partition(",")[0]), 1.0)


class TestSmallImages:
    def test_a_scale_that_leaves_too_few_pixels_to_score_is_named_with_one_that_does_not(self, scene: Path) -> None:
        loaded = load_scene(str(scene))
        with pytest.raises(SceneError) as caught:
            check_scored(loaded, 0.9, 0.01)
        assert str(caught.value) == (
            f"scene {scene}: 32x24 pixels, of which camera_res_scale_factor=0.01 leaves 0x0, "
            "but 6 a side are needed to score them; give at least 0.25"
        )
        check_scored(loaded, 0.9, 0.25)

    def test_the_scale_named_is_enough(self, scene: Path) -> None:
        loaded = load_scene(str(scene))
        for side in range(6, 400):
            check_scored(replace(loaded, height=side, width=500), 0.9, math.ceil(600 / side) / 100)

    def test_images_that_are_too_small_themselves(self, scene: Path) -> None:
        with pytest.raises(SceneError, match=r"500x5 pixels, .* give larger images"):
            check_scored(replace(load_scene(str(scene)), height=5, width=500), 0.9, 1.0)


def test_the_embedded_scenes_load() -> None:
    assert "tabletop" in embedded_scenes()
    for name in embedded_scenes():
        assert len(load_scene(f"embedded:{name}").eval_images) > 0


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("embedded:nothing", "no such embedded scene; there is tabletop"),
        ("/no/such/folder", "no such folder"),
        ("~nobody-of-this-name/room", "no such folder"),
        ("a" * 5000, "no such folder"),
    ],
)
def test_a_missing_scene(location: str, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        load_scene(location)


def test_a_folder_without_transforms(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"no transforms.json in it; make one with nerfstudio's ns-process-data"):
        load_scene(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(frames=t["frames"][:1]), r"1 image\(s\): at least 2 are needed"),
        (lambda t: t.update(val_filenames=[]), "no held-out view; name some in val_filenames"),
        (lambda t: t.update(train_filenames=[]), "no view to train on"),
        (lambda t: t.update(val_filenames=["images/99.png"]), r"images/99.png is in a split but not in frames"),
        (lambda t: t.update(val_filenames=t["train_filenames"]), "is both trained on and held out"),
        (
            lambda t: t["frames"][0].update(file_path="images/gone.png"),
            r"images/00.png is in a split but not in frames",
        ),
        (lambda t: t.update(frames="none"), "no list of frames"),
        (lambda t: t["frames"][3].update(file_path=3), "no list of frames"),
        (lambda t: t.update(val_filenames="images/01.png"), "val_filenames is no list of file names"),
        (lambda t: t.update(train_filenames=None), "train_filenames is no list of file names"),
        (
            lambda t: [t.pop(name) for name in ("train_filenames", "val_filenames")],
            r"no held-out view; name some in val_filenames of transforms.json, or leave out test_filenames: then",
        ),
        (lambda t: t.update(val_filenames=["./" + t["train_filenames"][0]]), "is both trained on and held out"),
        (
            lambda t: t.update(camera_model="FOV"),
            "camera_model is 'FOV' in transforms.json; give one of SIMPLE_PINHOLE",
        ),
        (lambda t: t.pop("cy"), r"images/00.png: no cy; give it for the frame or for the whole transforms.json$"),
        (
            lambda t: [t.pop("fl_x"), t.update(camera_angle_x=1.2)],
            r"images/00.png: no fl_x; .*; fl_x = w / \(2 tan\(camera_angle_x / 2\)\)",
        ),
        (lambda t: t.update(fl_x=float("nan")), "images/00.png: fl_x is nan in transforms.json; give a finite number"),
        (lambda t: t.update(fl_y="20"), "fl_y is '20' in transforms.json; give a finite number"),
        (lambda t: t.update(fl_y=-20), "fl_y is -20 in transforms.json; a focal length is above 0"),
        (lambda t: t.update(k1=None), "k1 is None in transforms.json"),
        (
            lambda t: t.update(w=64, h=48),
            r"images/00.png: has 32x24 pixels, but transforms.json says 64x48; restore the images of that size",
        ),
        (lambda t: t["frames"][3].pop("transform_matrix"), "images/03.png: has no transform_matrix"),
        (
            lambda t: t["frames"][3].update(transform_matrix=t["frames"][3]["transform_matrix"][:3]),
            "images/03.png: has a broken transform_matrix in transforms.json; give 4 rows of 4 finite numbers",
        ),
        (lambda t: t["frames"][3]["transform_matrix"][0].append(0), "images/03.png: has a broken transform_matrix"),
        (
            lambda t: t["frames"][3]["transform_matrix"].__setitem__(0, [float("inf"), 0, 0, 0]),
            "images/03.png: has a broken transform_matrix",
        ),
        (lambda t: t["frames"][3].update(transform_matrix="eye"), "images/03.png: has a broken transform_matrix"),
        (
            lambda t: [f.update(transform_matrix=t["frames"][0]["transform_matrix"]) for f in t["frames"]],
            "all cameras stand at one point",
        ),
        (
            lambda t: t["frames"][3].update(mask_path="masks/03.png"),
            "images/03.png has a mask_path, but masks are not supported: all pixels would be trained on and scored; to",
        ),
        (
            lambda t: t.update(camera_model="OPENCV_FISHEYE", fisheye_crop_radius=11.5),
            r"fisheye_crop_radius is 11.5, but cropping is not supported",
        ),
    ],
)
def test_broken_transforms(scene: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    rewrite(scene, change)
    with pytest.raises(SceneError, match=message) as caught:
        load_scene(str(scene))
    assert "\n" not in str(caught.value)


def test_the_lens_may_be_said_for_each_frame(scene: Path) -> None:
    def move(transforms: dict[str, Any]) -> None:
        lens = {name: transforms.pop(name) for name in ("fl_x", "fl_y", "cx", "cy", "w", "h")}
        for number, frame in enumerate(transforms["frames"]):
            frame.update(lens, fl_x=20.0 + number)

    rewrite(scene, move)
    assert load_scene(str(scene)).width == 32
    rewrite(scene, lambda transforms: transforms["frames"][3].pop("h"))
    with pytest.raises(SceneError, match=r"images/03.png: no h; give it for the frame"):
        load_scene(str(scene))


def test_names_in_a_split_are_paths(scene: Path) -> None:
    named = load_scene(str(scene))
    rewrite(scene, lambda t: t.update(val_filenames=["./" + name for name in t["val_filenames"] * 2]))
    assert load_scene(str(scene)) == named


def test_the_crop_radius_of_a_lens_that_is_no_fisheye_is_ignored_as_by_nerfstudio(scene: Path) -> None:
    rewrite(scene, lambda transforms: transforms.update(fisheye_crop_radius=11.5))
    load_scene(str(scene))


@pytest.mark.parametrize("model", CAMERA_MODELS)
def test_every_camera_model_of_nerfstudio_is_taken(model: str, scene: Path) -> None:
    rewrite(scene, lambda transforms: transforms.update(camera_model=model))
    load_scene(str(scene))


def test_the_camera_models_are_those_of_nerfstudio() -> None:
    from nerfstudio.cameras.cameras import CAMERA_MODEL_TO_TYPE

    assert set(CAMERA_MODELS) == set(CAMERA_MODEL_TO_TYPE)


def test_transforms_that_are_no_json(scene: Path) -> None:
    (scene / "transforms.json").write_text("{")
    with pytest.raises(SceneError, match=r"transforms.json can't be read"):
        load_scene(str(scene))


def test_images_of_different_sizes(scene: Path) -> None:
    Image.new("RGB", (16, 24)).save(scene / "images" / "03.png")
    with pytest.raises(SceneError, match=r"images of different sizes: images/00.png is 32x24, images/03.png is 16x24"):
        load_scene(str(scene))


def test_an_image_that_is_none(scene: Path) -> None:
    (scene / "images" / "03.png").write_text("not an image")
    with pytest.raises(SceneError, match=r"image images/03.png can't be read"):
        load_scene(str(scene))


def test_a_scene_outside_the_scene_root(scene: Path, tmp_path: Path) -> None:
    root = tmp_path / "scenes"
    root.mkdir()
    with pytest.raises(SceneError, match="lies outside the scene folder"):
        load_scene("../room", scene_root=root)
    assert load_scene("room", scene_root=tmp_path).folder == scene.resolve()


class TestDigest:
    def test_the_place_does_not_matter_and_the_content_does(self, scene: Path, tiny_scene: Path) -> None:
        digest = scene_digest(load_scene(str(scene)))
        assert digest == scene_digest(load_scene(str(tiny_scene)))
        assert len(bytes.fromhex(digest)) == 20
        rewrite(scene, lambda transforms: transforms.update(fl_x=20.0))
        other_poses = scene_digest(load_scene(str(scene)))
        Image.new("RGB", (32, 24)).save(scene / "images" / "03.png")
        assert len({digest, other_poses, scene_digest(load_scene(str(scene)))}) == 3

    def test_an_image_that_went(self, scene: Path) -> None:
        loaded = load_scene(str(scene))
        (scene / "images" / "03.png").unlink()
        with pytest.raises(SceneError, match=r"images/03.png can't be read"):
            scene_digest(loaded)
