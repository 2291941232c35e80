"""Hash grid for the CPU: compiled kernels behind an autograd function."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from f3rm_core.encodings.base import GridEncoding
from f3rm_core.encodings.numba_kernels import Levels, kernels_for
from f3rm_core.encodings.spec import GridSpec

# numba's fallback thread pool (workqueue, where there is no OpenMP) ends the process when two Python threads
# enter it at once.
_LAUNCH_LOCK = threading.Lock()


class NumbaGridEncoding(GridEncoding):
    """CPU, float32. Runs on torch.get_num_threads() threads, and gives the same bits for any number of them."""

    backend = "numba"

    def __init__(
        self,
        spec: GridSpec,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(spec, device=device, generator=generator)
        self.gradient_buffer = _GradientBuffer(spec.num_parameters)
        self.levels = Levels.of(spec)

    def forward(self, positions: Tensor) -> Tensor:
        positions = positions.float().contiguous()
        params = self.params.float()
        encoded: Tensor = _Encode.apply(positions.detach(), params, self)
        if positions.requires_grad and torch.is_grad_enabled():
            encoded = _FollowPositions.apply(encoded, positions, params.detach(), self)
        return encoded

    def warm_up(self) -> None:
        """Compile the kernels (seconds, once on a machine) or load them from the cache (a fraction of one)."""
        encoded = self(torch.zeros(1, 3))
        torch.autograd.grad(encoded.sum(), self.params)


class _Encode(torch.autograd.Function):
    """The encoding, differentiable in the parameters only."""

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,  # [points, 3] float32, contiguous
        params: Tensor,  # [entries * features] float32
        grid: NumbaGridEncoding,
    ) -> Tensor:  # [points, levels * features]
        encoded = torch.empty(positions.shape[0], grid.output_dim)
        kernel = kernels_for(grid.spec.features_per_level).forward
        launch(kernel, _flat(positions), _flat(params), grid.levels, _flat(encoded))
        ctx.grid = grid
        ctx.save_for_backward(positions)  # and no parameters: the output is linear in them
        return encoded

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_encoded: Tensor) -> tuple[None, Tensor, None]:
        (positions,) = ctx.saved_tensors
        grid: NumbaGridEncoding = ctx.grid
        grad_params = grid.gradient_buffer.take()
        kernel = kernels_for(grid.spec.features_per_level).backward_table
        threads = _num_threads()
        launch(kernel, _flat(positions), _flat(grad_encoded), grid.levels, threads, _flat(grad_params))
        return None, grad_params, None


class _FollowPositions(torch.autograd.Function):
    """Hands the encoding on, and gives the positions their gradient.

    A node of its own in the graph: who asks for the positions' gradient alone (normals) does not pay for the
    parameters'.
    """

    @staticmethod
    def forward(
        ctx: Any,
        encoded: Tensor,  # [points, levels * features]
        positions: Tensor,  # [points, 3] float32, contiguous
        params: Tensor,  # [entries * features] float32
        grid: NumbaGridEncoding,
    ) -> Tensor:  # [points, levels * features]
        ctx.grid = grid
        ctx.save_for_backward(positions, params)
        return encoded.view_as(encoded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_encoded: Tensor) -> tuple[Tensor, Tensor, None, None]:
        positions, params = ctx.saved_tensors
        grid: NumbaGridEncoding = ctx.grid
        grad_positions = torch.empty_like(positions)
        kernel = kernels_for(grid.spec.features_per_level).backward_positions
        upstream = _flat(grad_encoded)
        launch(kernel, _flat(positions), _flat(params), upstream, grid.levels, _flat(grad_positions))
        return grad_encoded, grad_positions, None, None


class _GradientBuffer:
    """Memory for the parameters' gradient, used again once nobody holds the last one.

    A fresh allocation of that size costs as much in page faults as a good part of the gradient itself. torch takes
    over the tensor handed out as `params.grad` without a copy, and gives it up in `zero_grad(set_to_none=True)`.
    """

    def __init__(self, length: int) -> None:
        # Now and not at the first step: memory for good must not lie between what comes and goes in a step.
        self._memory = np.empty(length, np.float32)
        self._lease: weakref.ref[npt.NDArray[np.float32]] | None = None

    def take(self) -> Tensor:  # [length], contents undefined
        if self._lease is not None and self._lease() is not None:
            return torch.empty(len(self._memory))
        view = self._memory[:]
        self._lease = weakref.ref(view)  # lives as long as any tensor on this memory
        return torch.from_numpy(view)

    def __reduce__(self) -> tuple[type[_GradientBuffer], tuple[int]]:
        return type(self), (len(self._memory),)  # a copy of the module gets memory of its own


def _flat(tensor: Tensor) -> npt.NDArray[np.float32]:
    """Shares memory with the tensor where that is contiguous; a copy where not."""
    array: npt.NDArray[np.float32] = tensor.detach().contiguous().view(-1).numpy()
    return array


def _num_threads() -> int:
    return min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)


def launch(kernel: Any, *arguments: Any) -> None:
    threads = torch.get_num_threads()
    try:
        with _LAUNCH_LOCK:
            numba.set_num_threads(_num_threads())
            kernel(*arguments)
    finally:
        # numba sets OpenMP's thread count to all cores when it starts its pool, and torch reads its own from there.
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
