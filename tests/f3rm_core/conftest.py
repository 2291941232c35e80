"""tinycudann, or what stands in for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch

from f3rm_core.encodings import tcnn
from tests.f3rm_core import tinycudann_standin


@pytest.fixture
def fresh_tcnn() -> Iterator[None]:
    """What was found out about tinycudann is forgotten, before and after."""
    from f3rm_core.model import tcnn_network

    def forget() -> None:
        tcnn.obstacle.cache_clear()
        tcnn_network.network.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def standin(fresh_tcnn: None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> torch.dtype:
    """A tinycudann that runs on the CPU. Its preferred precision may be given as a parameter."""
    dtype: torch.dtype = getattr(request, "param", torch.float16)
    monkeypatch.setitem(sys.modules, "tinycudann", tinycudann_standin)
    monkeypatch.setattr(tinycudann_standin, "preferred", dtype)
    return dtype


@pytest.fixture
def real_tcnn() -> None:
    """Leave out tests that need a GPU and tinycudann, where there is none."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if tcnn.obstacle() is not None:
        pytest.skip(f"tinycudann {tcnn.obstacle()}")
