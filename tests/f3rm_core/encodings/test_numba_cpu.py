"""What only the compiled backend can get wrong: memory that is used again, threads, and the cache of compiled code."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from f3rm_core.encodings import numba_cpu
from f3rm_core.encodings.base import GridSpec
from f3rm_core.encodings.numba_cpu import NumbaGridEncoding
from f3rm_core.encodings.numba_kernels import Levels, kernels_for

SPEC = GridSpec(4, 4, 64, 10, 2)


@pytest.fixture
def grid() -> NumbaGridEncoding:
    return NumbaGridEncoding(SPEC, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def positions() -> torch.Tensor:
    return torch.rand(200, 3, generator=torch.Generator().manual_seed(1))


def _fresh_gradient(positions: torch.Tensor) -> torch.Tensor:
    fresh = NumbaGridEncoding(SPEC)
    fresh(positions).sum().backward()
    assert fresh.params.grad is not None
    return fresh.params.grad


def test_gradient_memory_is_used_again_after_zero_grad(grid: NumbaGridEncoding, positions: torch.Tensor) -> None:
    grid(positions[:100]).sum().backward()
    assert grid.params.grad is not None
    address = grid.params.grad.data_ptr()
    grid.zero_grad(set_to_none=True)
    grid(positions[100:]).sum().backward()
    assert grid.params.grad is not None
    assert grid.params.grad.data_ptr() == address
    assert torch.equal(grid.params.grad, _fresh_gradient(positions[100:]))  # nothing of the first step is left


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_of_several_backward_passes_add_up(
    grid: NumbaGridEncoding, positions: torch.Tensor, set_to_none: bool
) -> None:
    grid(positions).sum().backward()
    grid.zero_grad(set_to_none=set_to_none)
    for _ in range(3):
        grid(positions).sum().backward()
    torch.testing.assert_close(grid.params.grad, 3 * _fresh_gradient(positions))


def test_two_encodings_in_one_graph(grid: NumbaGridEncoding, positions: torch.Tensor) -> None:
    (grid(positions).sum() + 2 * grid(positions).sum()).backward()
    torch.testing.assert_close(grid.params.grad, 3 * _fresh_gradient(positions))


def test_gradients_that_someone_holds_are_not_overwritten(grid: NumbaGridEncoding, positions: torch.Tensor) -> None:
    (held,) = torch.autograd.grad(grid(positions[:100]).sum(), grid.params)
    view = held.view(-1, 2)[5:9]
    before, view_before = held.clone(), view.clone()
    (other,) = torch.autograd.grad(grid(positions[100:]).sum(), grid.params)
    assert torch.equal(held, before)
    assert torch.equal(other, _fresh_gradient(positions[100:]))
    del held, other  # the view alone keeps the memory
    torch.autograd.grad(grid(positions).sum(), grid.params)
    assert torch.equal(view, view_before)


def test_positions_alone_do_not_cost_the_parameters_gradient(
    grid: NumbaGridEncoding, positions: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = []
    launch = numba_cpu.launch

    def spy(kernel: object, *arguments: object) -> None:
        launched.append(kernel)
        launch(kernel, *arguments)

    monkeypatch.setattr(numba_cpu, "launch", spy)
    torch.autograd.grad(grid(positions.requires_grad_()).sum(), positions)
    assert launched == [kernels_for(2).forward, kernels_for(2).backward_positions]


def test_parameters_changed_between_forward_and_backward_are_noticed(
    grid: NumbaGridEncoding, positions: torch.Tensor
) -> None:
    encoded = grid(positions.requires_grad_())
    with torch.no_grad():
        grid.params.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        encoded.sum().backward()


def test_second_derivatives_are_refused(grid: NumbaGridEncoding, positions: torch.Tensor) -> None:
    encoded = grid(positions.requires_grad_())
    (slope,) = torch.autograd.grad((encoded**2).sum(), positions, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 7, 20])
def test_levels_are_dealt_out_to_threads_each_once(positions: torch.Tensor, threads: int) -> None:
    spec = GridSpec(7, 4, 64, 10, 2)
    upstream = np.ones(200 * spec.output_dim, np.float32)
    flat = positions.flatten().numpy()
    expected = np.full(spec.num_parameters, np.nan, np.float32)
    kernels_for(2).backward_table(flat, upstream, Levels.of(spec), 1, expected)
    dealt = np.full(spec.num_parameters, np.nan, np.float32)
    kernels_for(2).backward_table(flat, upstream, Levels.of(spec), threads, dealt)
    np.testing.assert_array_equal(dealt, expected)
    assert np.isfinite(dealt).all()


def test_callers_in_several_python_threads(positions: torch.Tensor) -> None:
    expected = _fresh_gradient(positions)

    def gradient(_: int) -> torch.Tensor:
        return _fresh_gradient(positions)

    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(gradient, range(12)):
            assert torch.equal(result, expected)


def test_more_threads_than_the_pool_has(grid: NumbaGridEncoding, positions: torch.Tensor) -> None:
    before = torch.get_num_threads()
    expected = grid(positions)
    torch.set_num_threads(64)
    try:
        assert torch.equal(grid(positions), expected)
    finally:
        torch.set_num_threads(before)


def test_torch_keeps_its_number_of_threads() -> None:
    # In a process of its own: numba changes it where its pool starts, at the first call.
    code = (
        "import torch; torch.set_num_threads(1);"
        "from f3rm_core.encodings.base import GridSpec, build_grid;"
        "build_grid(GridSpec(2, 4, 8, 10, 2)).warm_up();"
        "print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.slow
def test_compiled_code_is_cached_on_disk(tmp_path: Path) -> None:
    code = (
        "from f3rm_core.encodings.base import GridSpec, build_grid;"
        "from f3rm_core.encodings.numba_kernels import kernels_for;"
        "build_grid(GridSpec(2, 4, 8, 10, 2)).warm_up();"
        "print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels_for(2)))"
    )
    misses = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        misses.append(int(done.stdout))
    assert misses == [2, 0]  # forward and backward_table, once
