"""A scene in nerfstudio format: found, read and checked before anything is trained. No torch here."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path

from f3rm_core.errors import SceneError
from f3rm_core.files import file_digest
from f3rm_core.metrics import METRICS
from f3rm_core.scenes.images import scaled_size
from f3rm_core.scenes.transforms import check_cameras, images_of, read_transforms, refuse_masks, split_of

EMBEDDED_PREFIX = "embedded:"
_EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
_SHORTEST_SIDE = 6  # pixels: SSIM mirrors five at each border


@dataclass(frozen=True)
class Scene:
    """A checked scene. Images are not read yet.

    Args:
        name: short name for listings.
        location: what the user wrote: `embedded:NAME` or a folder.
        folder: where transforms.json lies.
        images: all images, paths relative to the folder, in the file's order.
        train_images: those to train on. Empty where the scene names no split: then a share of the views is
            held out (`train_split_fraction`).
        eval_images: those held out; empty as above.
        width, height: pixels of every image.
        metrics: names of the metrics that a training run on it reports.
    """

    name: str
    location: str
    folder: Path
    images: tuple[str, ...]
    train_images: tuple[str, ...]
    eval_images: tuple[str, ...]
    width: int
    height: int
    metrics: tuple[str, ...]


def load_scene(location: str, *, scene_root: Path | None = None) -> Scene:
    """Find a scene and check that it can be trained on.

    Args:
        location: `embedded:NAME`, or a folder with a transforms.json in nerfstudio's format.
        scene_root: folder that relative locations are under, and that a location must not leave. None:
            relative to the current folder, anywhere.

    Raises:
        SceneError: missing, unreadable, fewer than two images, images of several sizes, nothing held out, or a camera
            that nerfstudio can't make or that belongs to images of another size; or it has masks.
    """
    folder = _locate(location, scene_root)
    transforms = read_transforms(folder)
    images = images_of(location, transforms)
    train, held_out = split_of(location, transforms, images)
    width, height = _common_size(location, folder, images)
    check_cameras(location, transforms, width, height)
    refuse_masks(location, transforms)
    return Scene(
        name=folder.name,
        location=location,
        folder=folder,
        images=tuple(images),
        train_images=train,
        eval_images=held_out,
        width=width,
        height=height,
        # LPIPS is added by a run that has its weights; it can't be promised from here.
        metrics=tuple(name for name in METRICS if name != "lpips"),
    )


def held_out_views(images: int, train_split_fraction: float) -> int:
    """How many of a scene's views are scored where it names no split; nerfstudio rounds those trained on up."""
    return images - math.ceil(images * train_split_fraction)


def check_scored(scene: Scene, train_split_fraction: float, camera_res_scale_factor: float) -> None:
    """Check that there are views to score, and that they are large enough.

    Raises:
        SceneError: the scene names no split, and the share leaves none of so few views; or scaled views are too small.
    """
    count, fraction = len(scene.images), train_split_fraction
    if not scene.eval_images and not held_out_views(count, fraction):
        most = math.floor(100 * (count - 1) / count) / 100
        raise SceneError(
            f"scene {scene.location}: {count} views, of which train_split_fraction={fraction:g} holds out none; "
            f"give at most {most:g}, or name train_filenames and val_filenames in transforms.json"
        )
    scale = camera_res_scale_factor
    width, height = scaled_size(scene.width, scene.height, scale)
    if min(width, height) < _SHORTEST_SIDE:
        least = math.ceil(100 * _SHORTEST_SIDE / min(scene.width, scene.height)) / 100
        raise SceneError(
            f"scene {scene.location}: {scene.width}x{scene.height} pixels, of which camera_res_scale_factor={scale:g} "
            f"leaves {width}x{height}, but {_SHORTEST_SIDE} a side are needed to score them; "
            + (f"give at least {least:g}" if least <= 1 else "give larger images")
        )


def scene_digest(scene: Scene) -> str:
    """What tells a scene's content from another's: transforms.json and all images, wherever they lie; 40 hex digits.

    Raises:
        SceneError: a file can't be read any more.
    """
    digest = hashlib.blake2b(digest_size=20)
    for name in ("transforms.json", *scene.images):
        try:
            digest.update(bytes.fromhex(file_digest(scene.folder / name)))
        except OSError as error:
            raise SceneError(f"scene {scene.location}: {name} can't be read ({error.strerror}); restore it") from error
    return digest.hexdigest()


def embedded_scenes() -> tuple[str, ...]:
    """Names of the scenes that ship with the package."""
    return tuple(sorted(path.parent.name for path in _EMBEDDED_FOLDER.glob("*/transforms.json")))


def _locate(location: str, scene_root: Path | None) -> Path:
    if location.startswith(EMBEDDED_PREFIX):
        name = location.removeprefix(EMBEDDED_PREFIX)
        if name not in embedded_scenes():
            raise SceneError(f"scene {location}: no such embedded scene; there is {', '.join(embedded_scenes())}")
        return _EMBEDDED_FOLDER / name
    # os.path, as pathlib raises where a name is too long, a folder closed, or a user unknown
    folder = Path(os.path.expanduser(location))
    if scene_root is not None:
        folder = (scene_root / folder).resolve()
        if not folder.is_relative_to(scene_root.resolve()):
            raise SceneError(f"scene {location}: lies outside the scene folder {scene_root}; move it there")
    if not os.path.isdir(folder):
        raise SceneError(f"scene {location}: no such folder; give a folder that holds transforms.json")
    return folder.resolve()


def _common_size(location: str, folder: Path, images: list[str]) -> tuple[int, int]:
    """Width and height, pixels, that all images share. Reads their headers only."""
    from PIL import Image

    sizes: dict[tuple[int, int], str] = {}
    for name in images:
        try:
            with Image.open(folder / name) as image:
                sizes.setdefault(image.size, name)
        except (OSError, ValueError) as error:
            raise SceneError(f"scene {location}: image {name} can't be read ({error}); restore it") from error
    if len(sizes) > 1:
        (first, name), (second, other) = list(sizes.items())[:2]
        raise SceneError(
            f"scene {location}: images of different sizes: {name} is {first[0]}x{first[1]}, "
            f"{other} is {second[0]}x{second[1]}; scale them to one size"
        )
    return next(iter(sizes))
