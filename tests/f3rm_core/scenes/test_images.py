"""A scene's images: the pixels that nerfstudio would read, in memory that trials share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from f3rm_core.errors import SceneError, UsageError
from f3rm_core.scenes.images import read_image, scene_images


def noise(path: Path, mode: str = "RGB", size: tuple[int, int] = (13, 9)) -> Path:
    channels = len(mode)
    pixels = np.random.default_rng(channels).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3])
def test_pixels_are_those_that_nerfstudio_reads(mode: str, scale: float, tmp_path: Path) -> None:
    import torch
    from nerfstudio.cameras.cameras import Cameras
    from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
    from nerfstudio.data.datasets.base_dataset import InputDataset

    path = noise(tmp_path / "view.png", mode)
    cameras = Cameras(torch.eye(4)[None, :3], 10.0, 10.0, 6.5, 4.5, 13, 9)
    dataset = InputDataset(DataparserOutputs([path], cameras), scale)
    np.testing.assert_array_equal(read_image(path, scale), dataset.get_numpy_image(0))


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    path = tmp_path / "view.png"
    Image.fromarray(np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8), "RGBA").save(path)
    # A fifth of the colour and four fifths of white: 0.2 * 200 + 0.8 * 255 = 244, 224, 204.
    assert read_image(path).tolist() == [[[200, 100, 0], [255, 255, 255], [244, 224, 204]]]


def test_images_are_read_once_and_mapped(tmp_path: Path) -> None:
    paths = [noise(tmp_path / f"{number}.png") for number in range(3)]
    first = scene_images(paths, 0.5, tmp_path / "cache")
    assert isinstance(first, np.memmap)
    assert not first.flags.writeable
    assert (first.shape, first.dtype) == ((3, 4, 6, 3), np.uint8)
    np.testing.assert_array_equal(first[2], read_image(paths[2], 0.5))
    (file,) = (tmp_path / "cache" / "images").glob("*.npy")
    written = file.stat().st_mtime_ns
    scene_images(paths, 0.5, tmp_path / "cache")
    assert file.stat().st_mtime_ns == written


def test_another_scale_and_changed_pixels_are_other_images(tmp_path: Path) -> None:
    paths, cache = [noise(tmp_path / "0.png"), noise(tmp_path / "1.png")], tmp_path / "cache"
    assert scene_images(paths, 1.0, cache).shape == (2, 9, 13, 3)
    assert scene_images(paths, 0.5, cache).shape == (2, 4, 6, 3)
    Image.new("RGB", (13, 9), (7, 8, 9)).save(paths[1])
    assert scene_images(paths, 1.0, cache)[1, 0, 0].tolist() == [7, 8, 9]


def test_without_a_cache_nothing_is_written(tmp_path: Path) -> None:
    paths = [noise(tmp_path / "0.png"), noise(tmp_path / "1.png")]
    images = scene_images(paths, 1.0, tmp_path / "cache", enable_cache=False)
    np.testing.assert_array_equal(images[0], read_image(paths[0]))
    assert not (tmp_path / "cache").exists()


def test_a_broken_image_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    paths = [noise(tmp_path / "0.png"), noise(tmp_path / "1.png", size=(40, 40)), tmp_path / "2.png"]
    Image.new("RGB", (13, 9)).save(paths[1])
    whole = noise(paths[2]).read_bytes()
    paths[2].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SceneError, match=r"2\.png: can't be read as an image"):
        scene_images(paths, 1.0, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "images").glob("*.npy"))
    assert not list((tmp_path / "cache" / "images").glob(".*"))


def test_a_cache_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    paths = [noise(tmp_path / "0.png"), noise(tmp_path / "1.png")]
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UsageError, match="can't be written"):
        scene_images(paths, 1.0, tmp_path / "file")


def test_processes_do_not_hold_copies(tmp_path: Path) -> None:
    """Private memory of a process that looked at all pixels of 60 MB of images grows by much less than that."""
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        Image.new("RGB", (2000, 2000), (number, 0, 0)).save(path)
    scene_images(paths, 1.0, tmp_path / "cache")
    code = """
import sys, psutil
from pathlib import Path
from f3rm_core.scenes.images import scene_images
*paths, cache = map(Path, sys.argv[1:])
def private():
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared
before = private()
images = scene_images(paths, 1.0, cache)
print(images.sum(dtype="int64"), images.nbytes, private() - before)
"""
    command = [sys.executable, "-c", code, *map(str, paths), str(tmp_path / "cache")]
    total, size, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert (total, size) == (2000 * 2000 * (1 + 2 + 3 + 4), 60_000_000)
    assert grown < 10_000_000
