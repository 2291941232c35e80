"""Which backend is taken, and what is said where there is none."""

from __future__ import annotations

import importlib.util

import pytest

from f3rm_core.encodings import base
from f3rm_core.encodings.base import GridSpec, build_grid, resolve_backend
from f3rm_core.errors import InvalidParameter

SPEC = GridSpec(2, 4, 8, 10, 2)


@pytest.mark.parametrize(
    ("backend", "device", "resolved"),
    [
        ("auto", "cpu", "numba"),
        ("auto", "cuda", "reference"),
        ("auto", "cuda:1", "reference"),
        ("reference", "cpu", "reference"),
        ("numba", "cpu", "numba"),
    ],
)
def test_backend_of_a_device(backend: str, device: str, resolved: str) -> None:
    assert resolve_backend(backend, device) == resolved


@pytest.mark.parametrize(("installed", "resolved"), [(True, "tcnn"), (False, "reference")])
def test_auto_on_cuda_is_tcnn_once_there_is_one(
    monkeypatch: pytest.MonkeyPatch, installed: bool, resolved: str
) -> None:
    monkeypatch.setitem(base.BACKENDS, "tcnn", "adapter:Adapter")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    assert resolve_backend("auto", "cuda") == resolved
    assert resolve_backend("auto", "cpu") == "numba"


@pytest.mark.parametrize(
    ("backend", "device", "message"),
    [
        ("tcnn", "cuda", "backend='tcnn': not in this version; use auto or one of numba, reference"),
        ("fast", "cpu", "backend='fast': must be auto or one of numba, reference"),
        ("numba", "cuda", "backend='numba': runs on the CPU only, not on cuda; use auto"),
    ],
)
def test_backends_that_cannot_be_had(backend: str, device: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        build_grid(SPEC, backend, device)
    assert str(caught.value) == message


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_the_encoding_says_what_it_is(backend: str) -> None:
    grid = build_grid(SPEC, backend)
    assert grid.backend == backend
    assert grid.spec == SPEC
    assert grid.output_dim == 4
    assert "parameters=1152" in repr(grid)  # (64 + 512) entries of 2
