"""Reading a scene's images for extraction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from f3rm_core.errors import SceneError


def common_size(images: Sequence[Path]) -> tuple[int, int]:
    """Width and height in pixels that all the images have.

    Raises:
        SceneError: no images, an unreadable one, or two of different sizes.
    """
    if not images:
        raise SceneError("no images to extract features from: give at least one")
    first, *others = images
    size = _size(first)
    for path in others:
        if (other := _size(path)) != size:
            raise SceneError(
                f"{path}: {other[0]}x{other[1]} pixels, but {first.name} has {size[0]}x{size[1]}; "
                "all images of a scene must have one size"
            )
    return size


def read_image(path: Path) -> np.ndarray:
    """Pixels as uint8 [height, width, 3]; transparent ones lie on white.

    The orientation noted in EXIF is not applied, as nerfstudio does not apply it.
    """
    try:
        with Image.open(path) as file:
            if file.mode[0] in "IF":  # Pillow clips deep grey images when it converts them
                raise SceneError(f"{path}: more than 8 bits a channel (mode {file.mode}); convert it to 8 bits")
            if not file.has_transparency_data:
                return np.asarray(file.convert("RGB"))
            white = Image.new("RGBA", file.size, "white")
            return np.asarray(Image.alpha_composite(white, file.convert("RGBA")).convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise _unreadable(path, error) from error


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:  # reads the header only
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SceneError:
    reason = "no such file" if isinstance(error, FileNotFoundError) else "not an image, or cut off"
    return SceneError(f"{path}: can't be read as an image ({reason}); restore it or take it out of the scene")
