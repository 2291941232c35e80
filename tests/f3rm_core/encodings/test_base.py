"""Which backend is taken, and what is said where there is none."""

from __future__ import annotations

import sys

import pytest

from f3rm_core.encodings.base import GridSpec, build_grid, resolve_backend
from f3rm_core.errors import InvalidParameter

SPEC = GridSpec(2, 4, 8, 10, 2)


@pytest.mark.parametrize(
    ("backend", "device", "resolved"),
    [
        ("auto", "cpu", "numba"),
        ("auto", "cuda", "reference"),
        ("auto", "cuda:1", "reference"),
        ("auto", "mps", "reference"),
        ("reference", "cpu", "reference"),
        ("numba", "cpu", "numba"),
    ],
)
@pytest.mark.usefixtures("fresh_tcnn")
def test_backend_of_a_device(backend: str, device: str, resolved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tinycudann", None)
    assert resolve_backend(backend, device) == resolved


@pytest.mark.usefixtures("standin")
def test_auto_on_cuda_is_tcnn_where_tinycudann_can_be_imported() -> None:
    assert resolve_backend("auto", "cuda") == "tcnn"
    assert resolve_backend("tcnn", "cuda:1") == "tcnn"
    assert resolve_backend("auto", "cpu") == "numba"


@pytest.mark.parametrize(
    ("backend", "device", "message"),
    [
        ("fast", "cpu", "encoding_backend='fast': must be auto or one of numba, reference, tcnn"),
        ("numba", "cuda", "encoding_backend='numba': runs on the CPU only, not on cuda; use auto"),
        ("tcnn", "cuda", "encoding_backend='tcnn': tinycudann is not installed; see docs/cuda.md, or use auto"),
    ],
)
@pytest.mark.usefixtures("fresh_tcnn")
def test_backends_that_cannot_be_had(backend: str, device: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tinycudann", None)
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
