"""Arrays on disk that all processes of a machine share: made once, checked whenever opened, mapped into memory.

An array is `KEY.npy` with KEY.json beside it, which says what it is and holds its checksum. The first process that
asks makes it under a lock; the others wait, then read.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from platformdirs import user_cache_dir

from f3rm_core.files import atomic_write, cache_errors, file_digest

_log = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """`F3RM_CACHE_DIR`, else the user's cache folder."""
    return Path(os.environ.get("F3RM_CACHE_DIR") or user_cache_dir("f3rm-sweeps"))


def cached_array(
    folder: Path,
    identity: object,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    parts: Callable[[], Iterator[np.ndarray]],
    *,
    about: Mapping[str, Any],
) -> np.ndarray:
    """The array of an identity, made now if it is not there or not as it was written.

    Args:
        folder: where arrays of this kind are.
        identity: all that decides the array's values, as plain data.
        shape: of the array.
        dtype: of the array; stored little-endian.
        parts: makes the array, cut along its first axis; called once at most, by one process at most.
        about: written beside the array, for people.

    Returns:
        [*shape], read-only and memory-mapped.

    Raises:
        UsageError: the folder can't be written.
    """
    dtype = np.dtype(dtype)
    path = folder / f"{_key(identity)}.npy"
    if (array := _open(path, shape, dtype)) is not None:
        return array
    with cache_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    try:
        if (array := _open(path, shape, dtype)) is None:  # nobody made it while this process waited
            _make(path, shape, dtype, parts(), about)
            array = _open(path, shape, dtype)
    finally:
        lock.release()
    assert array is not None, f"{path} was just written"
    return array


def _key(identity: object) -> str:
    return hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()


def _open(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
    """The cached array, or None if it is not there or not as it was written."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        if file_digest(path) != record["blake2b"]:
            raise ValueError("checksum differs")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"holds {array.dtype} {array.shape}, not {dtype} {shape}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s: broken (%s); making it again", path, error)
        return None
    return array


def _make(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterator[np.ndarray], about: Mapping[str, Any]
) -> None:
    """Write the parts into `path`; the caller holds its lock."""
    for leftover in path.parent.glob(f".{path.stem}.*.tmp"):  # of a process that was killed while it held the lock
        leftover.unlink(missing_ok=True)
    stored = dtype.newbyteorder("<")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": stored.str, "fortran_order": False, "shape": shape})
    digest = hashlib.blake2b(head.getvalue(), digest_size=20)
    with atomic_write(path) as stream:
        # Plain writes, not a writable map: on a full disk a write raises, a map kills the process.
        _reserve(stream, head.tell() + dtype.itemsize * math.prod(shape))
        stream.write(head.getvalue())
        for part in parts:
            assert part.shape[1:] == shape[1:], f"{part.shape}, not {shape}"
            data = part.astype(stored, copy=False).tobytes()
            stream.write(data)
            digest.update(data)
    record = {**about, "shape": list(shape), "blake2b": digest.hexdigest()}
    with atomic_write(path.with_suffix(".json")) as stream:
        stream.write(json.dumps(record, indent=1).encode())


def _reserve(stream: BinaryIO, size_bytes: int) -> None:
    """Claim the space at once: better no room now than after an hour of work."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        try:
            os.posix_fallocate(stream.fileno(), 0, size_bytes)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # file systems that can't reserve
                raise
