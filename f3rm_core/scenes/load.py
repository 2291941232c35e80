"""A scene in nerfstudio format: found, read and checked before anything is trained. No torch here."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from f3rm_core.errors import SceneError
from f3rm_core.files import file_digest
from f3rm_core.metrics import METRICS

EMBEDDED_PREFIX = "embedded:"
_EMBEDDED_FOLDER = Path(__file__).parent / "embedded"


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
        SceneError: missing, unreadable, fewer than two images, images of several sizes, or nothing held out.
    """
    folder = _locate(location, scene_root)
    transforms = _read_transforms(folder)
    frames = transforms.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) and "file_path" in frame for frame in frames):
        raise SceneError(
            f"scene {location}: transforms.json has no list of frames with file_path; give one frame a view"
        )
    images = [str(frame["file_path"]) for frame in frames]
    if len(images) < 2:
        raise SceneError(
            f"scene {location}: {len(images)} image(s): at least 2 are needed, one to train on and one held out"
        )
    train, held_out = _split(location, transforms, images)
    width, height = _common_size(location, folder, images)
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


def check_held_out(scene: Scene, train_split_fraction: float) -> None:
    """Check that a view is left to score.

    Raises:
        SceneError: the scene names no split, and the share leaves none of so few views.
    """
    count = len(scene.images)
    if scene.eval_images or held_out_views(count, train_split_fraction):
        return
    most = math.floor(100 * (count - 1) / count) / 100
    raise SceneError(
        f"scene {scene.location}: {count} views, of which train_split_fraction={train_split_fraction:g} holds out "
        f"none; give at most {most:g}, or name train_filenames and val_filenames in transforms.json"
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


def _read_transforms(folder: Path) -> dict[str, Any]:
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


def _split(location: str, transforms: dict[str, Any], images: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Images to train on and held-out ones, where the scene names them; else two empty tuples."""
    train = transforms.get("train_filenames")
    held_out = transforms.get("val_filenames")
    if train is None and held_out is None:
        return (), ()
    if not held_out:
        raise SceneError(f"scene {location}: no held-out view; name some in val_filenames of transforms.json")
    if not train:
        raise SceneError(f"scene {location}: no view to train on; name them in train_filenames of transforms.json")
    unknown = [name for name in (*train, *held_out) if name not in set(images)]
    if unknown:
        raise SceneError(f"scene {location}: {unknown[0]} is in a split but not in frames; correct transforms.json")
    shared = set(train) & set(held_out)
    if shared:
        raise SceneError(f"scene {location}: {min(shared)} is both trained on and held out; remove it from one split")
    return tuple(train), tuple(held_out)


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
