"""Extracted features on disk: made once, checked whenever opened, mapped into memory.

A scene's maps are `features/KEY.npy` in the cache folder, with KEY.json beside it that says what they are and
holds their checksum. The key covers the bytes of every image, in order, and the extractor's identity. The
first process that asks extracts under a lock; the others wait, then read.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir
from tqdm import tqdm

from f3rm_core.errors import WeightsUnavailable
from f3rm_core.features.extractor import FeatureExtractor
from f3rm_core.features.files import atomic_write, cache_errors, file_digest
from f3rm_core.features.images import common_size, read_image

FORMAT_VERSION = 1
"""To be raised whenever the same key would come to stand for other maps."""

_log = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """`F3RM_CACHE_DIR`, else the user's cache folder."""
    return Path(os.environ.get("F3RM_CACHE_DIR") or user_cache_dir("f3rm-sweeps"))


def features_of(
    images: Sequence[Path],
    extractor: FeatureExtractor,
    cache_dir: Path | None = None,
    progress: bool | None = None,
    *,
    enable_cache: bool = True,
) -> np.ndarray:
    """Feature maps of a scene's images, from the cache or extracted now.

    Args:
        images: image files, all of one size; the maps come in their order.
        extractor: what makes the maps.
        cache_dir: None for `default_cache_dir()`.
        progress: show a bar on stderr; None for one only on a terminal.
        enable_cache: False extracts into memory and touches no disk.

    Returns:
        float16 [images, map height, map width, channels], read-only and memory-mapped where cached.

    Raises:
        SceneError: no images, an unreadable one, or images of different sizes.
        WeightsUnavailable: the extractor's weights can't be reached or are broken.
        UsageError: the cache folder can't be written.
    """
    width, height = common_size(images)
    shape = (len(images), *extractor.map_shape(width, height), extractor.channels)
    if not enable_cache:
        return np.concatenate(list(_extract(images, extractor, shape, progress)))

    digests = [file_digest(path) for path in images]
    path = (cache_dir or default_cache_dir()) / "features" / f"{_key(digests, extractor)}.npy"
    if (maps := _open(path, shape)) is not None:
        return maps
    with cache_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    try:
        if (maps := _open(path, shape)) is None:  # nobody made it while this process waited
            _make(path, images, extractor, shape, progress)
            maps = _open(path, shape)
    finally:
        lock.release()
    assert maps is not None, f"{path} was just written"
    return maps


def _key(digests: Sequence[str], extractor: FeatureExtractor) -> str:
    text = json.dumps([FORMAT_VERSION, extractor.key, list(digests)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _open(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached maps, or None if they are not there or not as they were written."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        if file_digest(path) != record["blake2b"]:
            raise ValueError("checksum differs")
        maps = np.load(path, mmap_mode="r", allow_pickle=False)
        if maps.shape != shape or maps.dtype != np.float16:
            raise ValueError(f"holds {maps.dtype} {maps.shape}, not float16 {shape}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: broken (%s); extracting again", path, error)
        return None
    return maps


def _make(
    path: Path,
    images: Sequence[Path],
    extractor: FeatureExtractor,
    shape: tuple[int, ...],  # [images, map height, map width, channels]
    progress: bool | None,
) -> None:
    """Extract into `path`; the caller holds its lock."""
    for leftover in path.parent.glob(f".{path.stem}.*.tmp"):  # of a process that was killed while it held the lock
        leftover.unlink(missing_ok=True)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f2", "fortran_order": False, "shape": shape})
    digest = hashlib.blake2b(head.getvalue(), digest_size=20)
    with atomic_write(path) as stream:
        # Plain writes, not a writable map: on a full disk a write raises, a map kills the process.
        _reserve(stream, head.tell() + 2 * math.prod(shape))
        stream.write(head.getvalue())
        for maps in _extract(images, extractor, shape, progress):
            data = maps.astype("<f2").tobytes()
            stream.write(data)
            digest.update(data)
    record = {
        "format": FORMAT_VERSION,
        "extractor": dict(extractor.identity),
        "images": [image.name for image in images],
        "shape": list(shape),
        "blake2b": digest.hexdigest(),
    }
    with atomic_write(path.with_suffix(".json")) as stream:
        stream.write(json.dumps(record, indent=1).encode())


def _reserve(stream: BinaryIO, size_bytes: int) -> None:
    """Claim the space at once: better no room now than after an hour of extraction."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        try:
            os.posix_fallocate(stream.fileno(), 0, size_bytes)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # file systems that can't reserve
                raise


def _extract(
    images: Sequence[Path],
    extractor: FeatureExtractor,
    shape: tuple[int, ...],  # [images, map height, map width, channels]
    progress: bool | None,
) -> Iterator[np.ndarray]:
    """Maps, batch after batch, float16 [batch, map height, map width, channels]."""
    with tqdm(
        total=len(images),
        desc=f"features of {extractor.name}",
        unit="image",
        disable=None if progress is None else not progress,  # None: only on a terminal
    ) as bar:
        for start in range(0, len(images), extractor.batch_size):
            paths = images[start : start + extractor.batch_size]
            maps = extractor.extract([read_image(path) for path in paths])
            assert maps.shape == (len(paths), *shape[1:]), f"{extractor.name}: {maps.shape}, not {shape[1:]}"
            assert maps.dtype == np.float16, f"{extractor.name}: {maps.dtype}"
            if not np.isfinite(maps).all():
                raise WeightsUnavailable(
                    f"{extractor.name}: features of {paths[0]} or the next {len(paths) - 1} images are not "
                    "finite; the weight file is probably damaged: download it again"
                )
            yield maps
            bar.update(len(paths))
