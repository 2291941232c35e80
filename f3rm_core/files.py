"""Files written whole or not at all, in the cache and where users want them; and files known by their content."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from f3rm_core.errors import UsageError

_USER_CAN_MEND = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
}


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 40 hex digits; read again only if the file's size, time or inode changed."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when the block ends well.

    Readers see the old file or the whole new one; a block that raises leaves nothing behind.

    Raises:
        UsageError: the folder is read-only, the disk is full, or the like.
    """
    with cache_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _replacement(path) as stream:
            yield stream


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that a user named. A link stays a link; a device or a pipe is written to and not replaced.

    Raises:
        UsageError: it can't be written; what was there stays, and nothing is left beside it.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        with _replacement(Path(os.path.realpath(path))) as stream:
            stream.write(content)
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror}); choose another place") from None


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Turn what the system says about an unwritable cache folder into one line for the user."""
    try:
        yield
    except OSError as error:
        if error.errno not in _USER_CAN_MEND:
            raise
        raise UsageError(
            f"cache folder {folder}: can't be written ({error.strerror}); "
            "free space there, or set F3RM_CACHE_DIR to a folder with room that you may write to"
        ) from error


@contextmanager
def _replacement(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    del size, mtime_ns, inode  # they only tell one state of the file from another
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
