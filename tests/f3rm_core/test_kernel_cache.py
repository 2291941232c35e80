"""Compiled kernels find a place where the package, and the home folder, are read-only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from f3rm_core.kernel_cache import find_kernel_cache


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"F3RM_CACHE_DIR": "/cache"})


def read_only(path: object, mode: int) -> bool:
    return False


def test_a_writable_package_keeps_them_itself() -> None:
    find_kernel_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_a_read_only_one_leaves_them_to_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", read_only)
    find_kernel_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == str(Path("/cache/numba"))


def test_what_the_user_says_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", read_only)
    os.environ["NUMBA_CACHE_DIR"] = "/mine"
    find_kernel_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == "/mine"
