"""A scene's images: read, and kept in memory that all processes of the machine share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from f3rm_core.array_cache import cached_array, default_cache_dir
from f3rm_core.errors import SceneError
from f3rm_core.files import file_digest

FORMAT_VERSION = 1
"""To be raised whenever the same key would come to stand for other pixels."""


def scene_images(
    paths: Sequence[Path], scale: float, cache_dir: Path | None = None, *, enable_cache: bool = True
) -> np.ndarray:
    """All images of a scene.

    Args:
        paths: image files, all of one size.
        scale: of width and height.
        cache_dir: None for the user's cache folder.
        enable_cache: False reads into this process's own memory and touches no disk.

    Returns:
        uint8 [images, height, width, 3], read-only and memory-mapped where cached.

    Raises:
        SceneError: an unreadable image.
        UsageError: the cache folder can't be written.
    """
    width, height = scaled_size(*common_size(paths), scale)

    def read_all() -> Iterator[np.ndarray]:
        for path in tqdm(paths, desc="images", unit="image", disable=None):  # None: only on a terminal
            yield read_image(path, scale)[None]

    if not enable_cache:
        return np.concatenate(list(read_all()))
    return cached_array(
        (cache_dir or default_cache_dir()) / "images",
        [FORMAT_VERSION, scale, [file_digest(path) for path in paths]],
        (len(paths), height, width, 3),
        np.uint8,
        read_all,
        about={"format": FORMAT_VERSION, "scale": scale, "images": [path.name for path in paths]},
    )


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


def read_image(path: Path, scale: float = 1.0) -> np.ndarray:
    """Pixels as uint8 [height, width, 3]; transparent ones lie on white.

    Args:
        path: the file.
        scale: of its width and height, both rounded down as by nerfstudio.

    The orientation noted in EXIF is not applied, as nerfstudio does not apply it.
    """
    try:
        with Image.open(path) as file:
            if file.mode[0] in "IF":  # Pillow clips deep grey images when it converts them
                raise SceneError(f"{path}: more than 8 bits a channel (mode {file.mode}); convert it to 8 bits")
            image = file.convert("RGBA" if file.has_transparency_data else "RGB")
            if scale != 1.0:
                image = image.resize(scaled_size(*file.size, scale), Image.Resampling.BILINEAR)
            if image.mode == "RGBA":
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image).convert("RGB")
            return np.asarray(image)
    except (OSError, UnidentifiedImageError) as error:
        raise _unreadable(path, error) from error


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Pixels of a scaled image, rounded down as by nerfstudio."""
    return int(width * scale), int(height * scale)


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:  # reads the header only
            return image.size
    except (OSError, UnidentifiedImageError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SceneError:
    reason = "no such file" if isinstance(error, FileNotFoundError) else "not an image, or cut off"
    return SceneError(f"{path}: can't be read as an image ({reason}); restore it or take it out of the scene")
