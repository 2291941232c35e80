"""How the C library hands out memory while a run trains on the CPU."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
_LARGE_BYTES = 1 << 30
_LARGEST_OLD_MMAP_BYTES = 32 << 20  # what glibc before 2.35 accepts
_RETURNED_BYTES = 1 << 20
_DEFAULT_TRIM_BYTES, _DEFAULT_MMAP_BYTES = 128 << 10, 128 << 10


@contextmanager
def reuse_memory() -> Iterator[None]:
    """Keep freed tensors for the next step instead of giving their pages back to the system.

    By default glibc maps and unmaps every large tensor, and the page faults of a step cost as much as its elementwise
    arithmetic. What an earlier run left is given back at the start and at the end, so that memory measured in the block
    is the block's own. Does nothing without glibc.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.malloc_trim(0)
    _set_reuse(library)
    try:
        yield
    finally:
        library.mallopt(_M_MMAP_THRESHOLD, _DEFAULT_MMAP_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _DEFAULT_TRIM_BYTES)
        library.malloc_trim(0)


@contextmanager
def return_memory() -> Iterator[None]:
    """Within `reuse_memory`: give large tensors' pages back when they are freed, as well as what is free at the start.

    For evaluation, whose tensors are others than a step's: in the pieces that a step leaves free they fit badly, and
    memory would grow to several times what is in use. Does nothing without glibc.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.malloc_trim(0)
    library.mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)
    try:
        yield
    finally:
        _set_reuse(library)


def _set_reuse(library: ctypes.CDLL) -> None:
    if not library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES):
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_OLD_MMAP_BYTES)
    library.mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Give the pages of all free memory back to the system. Does nothing without glibc."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
