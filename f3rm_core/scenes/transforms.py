"""What a transforms.json says, checked as plain JSON: at the same slips nerfstudio fails late, or trains on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from f3rm_core.errors import SceneError

CAMERA_MODELS = (
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "OPENCV_FISHEYE",
    "EQUIRECTANGULAR",
    "OMNIDIRECTIONALSTEREO_L",
    "OMNIDIRECTIONALSTEREO_R",
    "VR180_L",
    "VR180_R",
    "ORTHOPHOTO",
    "FISHEYE624",
)
"""Those that nerfstudio reads."""
_LENS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_SPLITS = ("train_filenames", "val_filenames", "test_filenames")
_MAX_NUMBER = 1e30  # cameras are held in float32


def read_transforms(folder: Path) -> dict[str, Any]:
    """The content of a folder's transforms.json.

    Raises:
        SceneError: it is missing or unreadable.
    """
    try:
        transforms = json.loads((folder / "transforms.json").read_text())
    except FileNotFoundError:
        raise SceneError(
            f"scene {folder}: no transforms.json in it; make one with nerfstudio's ns-process-data"
        ) from None
    except (OSError, ValueError) as error:
        raise SceneError(f"scene {folder}: transforms.json can't be read ({error}); make it again") from error
    if not isinstance(transforms, dict):
        raise SceneError(f"scene {folder}: transforms.json must hold an object; make it again")
    return transforms


def images_of(location: str, transforms: Mapping[str, Any]) -> list[str]:
    """The frames' images, as the file names them.

    Raises:
        SceneError: there are none, or too few.
    """
    frames = transforms.get("frames")
    if not isinstance(frames, list) or not all(
        isinstance(frame, dict) and isinstance(frame.get("file_path"), str) for frame in frames
    ):
        raise SceneError(
            f"scene {location}: transforms.json has no list of frames with file_path; give one frame a view"
        )
    if len(frames) < 2:
        raise SceneError(
            f"scene {location}: {len(frames)} image(s): at least 2 are needed, one to train on and one held out"
        )
    return [frame["file_path"] for frame in frames]


def split_of(
    location: str, transforms: Mapping[str, Any], images: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Images to train on and held-out ones, by their names in frames; two empty tuples where no split is named.

    Raises:
        SceneError: a split is empty or names an image that is in no frame, or both name the same one.
    """
    if transforms.keys().isdisjoint(_SPLITS):
        return (), ()
    frames = {Path(name): name for name in images}  # as nerfstudio, which takes ./images/0.png for images/0.png
    train, held_out = (_named(location, transforms, split, frames) for split in _SPLITS[:2])
    if not held_out:
        raise SceneError(
            f"scene {location}: no held-out view; name some in val_filenames of transforms.json, or leave out "
            f"{', '.join(name for name in _SPLITS if name in transforms)}: then a share of the views is held out"
        )
    if not train:
        raise SceneError(f"scene {location}: no view to train on; name them in train_filenames of transforms.json")
    shared = set(train) & set(held_out)
    if shared:
        raise SceneError(f"scene {location}: {min(shared)} is both trained on and held out; remove it from one split")
    return train, held_out


def check_cameras(location: str, transforms: Mapping[str, Any], width: int, height: int) -> None:
    """Check that nerfstudio can make a camera of each frame.

    Args:
        location: of the scene, for errors.
        transforms: with frames.
        width, height: pixels of the images' files.

    Raises:
        SceneError: a number is missing or none, or belongs to images of another size; a pose is no matrix; or all
            cameras stand at one point.
    """
    model = transforms.get("camera_model", "OPENCV")
    if model not in CAMERA_MODELS:
        raise SceneError(
            f"scene {location}: camera_model is {model!r} in transforms.json; give one of {', '.join(CAMERA_MODELS)}"
        )
    for frame in transforms["frames"]:
        where = f"scene {location}: {frame['file_path']}"
        _check_lens(where, {**frame, **transforms}, width, height)
        _check_pose(where, frame.get("transform_matrix"))
    if len({tuple(row[3] for row in frame["transform_matrix"][:3]) for frame in transforms["frames"]}) == 1:
        raise SceneError(f"scene {location}: all cameras stand at one point; give views from several")


def refuse_masks(location: str, transforms: Mapping[str, Any]) -> None:
    """Refuse a scene of which pixels are to be left out.

    Raises:
        SceneError: its frames have masks, or its fisheye images a crop radius.
    """
    hidden = "all pixels would be trained on and scored"
    for frame in transforms["frames"]:
        if "mask_path" in frame:
            raise SceneError(
                f"scene {location}: {frame['file_path']} has a mask_path, but masks are not supported: {hidden}; "
                "to accept that, remove mask_path from all frames of transforms.json"
            )
    if "FISHEYE" in transforms.get("camera_model", "") and transforms.get("fisheye_crop_radius") is not None:
        raise SceneError(
            f"scene {location}: fisheye_crop_radius is {transforms['fisheye_crop_radius']!r}, but cropping is not "
            f"supported: {hidden}; to accept that, remove it from transforms.json"
        )


def _named(location: str, transforms: Mapping[str, Any], split: str, frames: Mapping[Path, str]) -> tuple[str, ...]:
    names = transforms.get(split, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SceneError(f"scene {location}: {split} is no list of file names; correct transforms.json")
    unknown = [name for name in names if Path(name) not in frames]
    if unknown:
        raise SceneError(f"scene {location}: {unknown[0]} is in a split but not in frames; correct transforms.json")
    return tuple(dict.fromkeys(frames[Path(name)] for name in names))


def _check_lens(where: str, said: Mapping[str, Any], width: int, height: int) -> None:
    """Args: where: the scene and the frame, for errors; said: of the frame, under what is said for the whole file."""
    for name in _LENS:
        if name not in said:
            hint = f"; {name} = w / (2 tan(camera_angle_x / 2))" if "camera_angle_x" in said and name == "fl_x" else ""
            raise SceneError(f"{where}: no {name}; give it for the frame or for the whole transforms.json{hint}")
    for name in (*_LENS, *_DISTORTION):
        if name in said and not _is_number(said[name]):
            raise SceneError(f"{where}: {name} is {said[name]!r} in transforms.json; give a finite number")
    for name in ("fl_x", "fl_y"):
        if said[name] <= 0:
            raise SceneError(f"{where}: {name} is {said[name]!r} in transforms.json; a focal length is above 0")
    if (said["w"], said["h"]) != (width, height):
        raise SceneError(
            f"{where}: has {width}x{height} pixels, but transforms.json says {said['w']}x{said['h']}; restore the "
            "images of that size (camera_res_scale_factor scales them), or scale w, h, fl_x, fl_y, cx and cy"
        )


def _check_pose(where: str, matrix: Any) -> None:
    rows = matrix if isinstance(matrix, list) else []
    if [len(row) if isinstance(row, list) and all(map(_is_number, row)) else 0 for row in rows] != [4] * 4:
        said = "has no" if matrix is None else "has a broken"
        raise SceneError(f"{where}: {said} transform_matrix in transforms.json; give 4 rows of 4 finite numbers")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
