"""The feature cache: keys, broken files, many processes, kills, full disks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from f3rm_core.array_cache import default_cache_dir
from f3rm_core.errors import SceneError, UsageError, WeightsUnavailable
from f3rm_core.features import FeatureExtractor, features_of

Photos = Callable[..., list[Path]]

# A process that extracts slowly, notes when it does, and prints the sum of what it read.
PROCESS = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import BlockMeans
from f3rm_core.features import features_of
cache, seconds, *images = sys.argv[1:]
class Slow(BlockMeans):
    def extract(self, images):
        with open(Path(cache) / "extractions.txt", "a") as stream:
            stream.write("x")
        time.sleep(float(seconds))
        return super().extract(images)
print(repr(features_of([Path(i) for i in images], Slow(), Path(cache)).sum(dtype="f8").item()))
"""


def start(cache: Path, seconds: float, images: list[Path]) -> subprocess.Popen[str]:
    code = PROCESS.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, str(cache), str(seconds), *map(str, images)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def cached_file(cache: Path) -> Path:
    (path,) = (cache / "features").glob("*.npy")
    return path


def test_maps_are_those_of_the_images(block_means: FeatureExtractor, tmp_path: Path) -> None:
    images = []
    for number, colour in enumerate([(255, 0, 0), (0, 51, 0), (0, 0, 102)]):
        images.append(tmp_path / f"{number}.png")
        Image.new("RGB", (12, 8), colour).save(images[-1])
    maps = features_of(images, block_means, tmp_path / "cache")
    assert isinstance(maps, np.memmap)
    assert not maps.flags.writeable
    assert maps.shape == (3, 2, 3, 3)
    assert maps.dtype == np.float16
    expected = np.array([[1, 0, 0], [0, 0.2, 0], [0, 0, 0.4]], dtype=np.float16)
    np.testing.assert_array_equal(maps, np.broadcast_to(expected[:, None, None], maps.shape))
    assert block_means.calls == 2  # two images at once, then one


def test_extracts_once(block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
    images = photos(2)
    first = features_of(images, block_means, tmp_path)
    second = features_of(images, type(block_means)(), tmp_path)
    assert block_means.calls == 1
    np.testing.assert_array_equal(first, second)
    assert len(list((tmp_path / "features").glob("*.npy"))) == 1
    assert not list((tmp_path / "features").glob("*.tmp"))
    assert not list((tmp_path / "features").glob(".*"))


def test_without_cache(block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
    images, cache = photos(3), tmp_path / "cache"
    maps = features_of(images, block_means, cache, enable_cache=False)
    assert not cache.exists()
    np.testing.assert_array_equal(maps, features_of(images, block_means, cache))


class TestKey:
    def test_content_order_and_extractor_count(
        self, block_means: FeatureExtractor, photos: Photos, tmp_path: Path
    ) -> None:
        one, two = photos(2)
        features_of([one, two], block_means, tmp_path)
        features_of([two, one], block_means, tmp_path)
        features_of([one], block_means, tmp_path)
        features_of([one, two], type(block_means)(factor=2.0), tmp_path)
        assert len(list((tmp_path / "features").glob("*.npy"))) == 4

    def test_an_image_that_changed(self, block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
        images = photos(1, seed=1)
        before = features_of(images, block_means, tmp_path)
        images[0].write_bytes(photos(1, seed=2)[0].read_bytes())
        after = features_of(images, block_means, tmp_path)
        assert np.abs(after - before).max() > 0.05

    def test_the_name_does_not_count(self, block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
        images = photos(1)
        features_of(images, block_means, tmp_path)
        features_of([images[0].rename(tmp_path / "renamed.png")], block_means, tmp_path)
        assert block_means.calls == 1


class TestBrokenFiles:
    @pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text", "record gone", "record cut", "array gone"])
    def test_are_made_again(self, damage: str, block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
        images = photos(2)
        expected = np.array(features_of(images, block_means, tmp_path))
        path = cached_file(tmp_path)
        record, data = path.with_suffix(".json"), bytearray(path.read_bytes())
        if damage == "cut":
            path.write_bytes(data[:-10])
        elif damage == "bit":
            data[-1] ^= 1
            path.write_bytes(data)
        elif damage in ("empty", "text"):
            path.write_bytes(b"" if damage == "empty" else b"hello")
        elif damage == "array gone":
            path.unlink()
        elif damage == "record gone":
            record.unlink()
        else:
            record.write_text(record.read_text()[:20])
        np.testing.assert_array_equal(features_of(images, block_means, tmp_path), expected)
        assert block_means.calls == 2
        features_of(images, block_means, tmp_path)
        assert block_means.calls == 2


class TestProcesses:
    def test_one_extracts_and_the_rest_wait(
        self, block_means: FeatureExtractor, photos: Photos, tmp_path: Path
    ) -> None:
        images, cache = photos(2), tmp_path / "cache"
        cache.mkdir()
        processes = [start(cache, 0.5, images) for _ in range(10)]
        sums = [process.communicate(timeout=120)[0] for process in processes]
        expected = features_of(images, block_means, enable_cache=False).sum(dtype="f8").item()
        assert sums == [f"{expected!r}\n"] * 10
        assert (cache / "extractions.txt").read_text() == "x"

    def test_killed_midway(self, block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
        images, cache = photos(2), tmp_path / "cache"
        cache.mkdir()
        process = start(cache, 600.0, images)
        while not (cache / "extractions.txt").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not list((cache / "features").glob("*.npy"))
        assert list((cache / "features").glob(".*.tmp"))
        maps = features_of(images, block_means, cache)
        np.testing.assert_array_equal(maps, features_of(images, block_means, enable_cache=False))
        assert not list((cache / "features").glob(".*.tmp"))


class TestFolder:
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
    def test_cannot_be_written(
        self,
        code: int,
        block_means: FeatureExtractor,
        photos: Photos,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        images = photos(1)
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(UsageError) as caught:
            features_of(images, block_means, tmp_path / "cache")
        assert str(caught.value) == (
            f"cache folder {tmp_path}/cache/features: can't be written ({os.strerror(code)}); "
            "free space there, or set F3RM_CACHE_DIR to a folder with room that you may write to"
        )
        assert [path.suffix for path in (tmp_path / "cache" / "features").iterdir()] in ([".lock"], [])

    def test_is_a_file(self, block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("")
        with pytest.raises(UsageError, match="F3RM_CACHE_DIR"):
            features_of(photos(1), block_means, tmp_path / "cache")

    @pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
    def test_full_before_extraction(self, photos: Photos, tmp_path: Path) -> None:
        """A file over a process's limit fails as one too large for the disk does: before the extraction."""
        cache = tmp_path / "cache"
        cache.mkdir()
        code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n" + PROCESS.format(
            tests=str(Path(__file__).parent)
        )
        command = [sys.executable, "-B", "-c", code, str(cache), "0", *map(str, photos(3))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "UsageError: cache folder" in done.stderr
        if hasattr(os, "posix_fallocate"):
            assert not (cache / "extractions.txt").exists()
        assert not list((cache / "features").glob("*.npy"))
        assert not list((cache / "features").glob(".*"))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_read_only_cache(self, block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
        images, folder = photos(1), tmp_path / "cache" / "features"
        features_of(images, block_means, tmp_path / "cache")
        folder.chmod(0o500)
        try:
            features_of(images, block_means, tmp_path / "cache")
            with pytest.raises(UsageError, match="can't be written"):
                features_of(images * 2, block_means, tmp_path / "cache")
        finally:
            folder.chmod(0o700)
        assert block_means.calls == 1

    def test_default(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("F3RM_CACHE_DIR", str(tmp_path))
        assert default_cache_dir() == tmp_path
        monkeypatch.delenv("F3RM_CACHE_DIR")
        assert default_cache_dir().name == "f3rm-sweeps"


class TestBadScenes:
    def test_no_images(self, block_means: FeatureExtractor, tmp_path: Path) -> None:
        with pytest.raises(SceneError, match="at least one"):
            features_of([], block_means, tmp_path)

    def test_different_sizes(self, block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
        images = photos(2) + photos(1, width=48, seed=9)
        with pytest.raises(SceneError, match=r"9-0\.png: 48x24 pixels, but 0-0\.png has 40x24"):
            features_of(images, block_means, tmp_path)

    @pytest.mark.parametrize("content", [None, b"", b"no image", "cut"])
    def test_unreadable(
        self, content: bytes | str | None, block_means: FeatureExtractor, photos: Photos, tmp_path: Path
    ) -> None:
        images = photos(2)
        if content is None:
            images[1].unlink()
        else:
            images[1].write_bytes(images[1].read_bytes()[:200] if isinstance(content, str) else content)
        with pytest.raises(SceneError, match=r"0-1\.png: can't be read as an image"):
            features_of(images, block_means, tmp_path / "cache")
        assert not list(tmp_path.glob("cache/features/*.npy"))

    def test_sixteen_bits(self, block_means: FeatureExtractor, tmp_path: Path) -> None:
        Image.fromarray(np.full((8, 8), 40000, dtype=np.uint16)).save(tmp_path / "deep.png")
        with pytest.raises(SceneError, match="more than 8 bits"):
            features_of([tmp_path / "deep.png"], block_means, tmp_path)

    def test_transparency_lies_on_white(self, block_means: FeatureExtractor, tmp_path: Path) -> None:
        Image.new("RGBA", (4, 4), (0, 0, 0, 51)).save(tmp_path / "clear.png")  # a fifth of black
        maps = features_of([tmp_path / "clear.png"], block_means, tmp_path)
        np.testing.assert_allclose(maps.ravel(), 0.8, atol=1e-3)


def test_features_that_are_not_finite(block_means: FeatureExtractor, photos: Photos, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="not finite"):
        features_of(photos(3), type(block_means)(factor=float("nan")), tmp_path)
    assert not list(tmp_path.glob("features/*.npy"))


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])  # no terminal here
def test_progress(
    progress: bool | None,
    *,
    shown: bool,
    block_means: FeatureExtractor,
    photos: Photos,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    features_of(photos(3), block_means, tmp_path, progress)
    assert ("features of block means" in capsys.readouterr().err) == shown
