"""The contract of every hash grid encoding, and the choice between them."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from f3rm_core.encodings.spec import GridSpec, Level
from f3rm_core.errors import InvalidParameter

__all__ = ["BACKENDS", "GridEncoding", "GridSpec", "Level", "build_grid", "resolve_backend"]

INITIAL_RANGE = 1e-4
"""Parameters start uniform within plus and minus this: Müller et al. 2022, section 4."""

BACKENDS = {
    "numba": "f3rm_core.encodings.numba_cpu:NumbaGridEncoding",
    "reference": "f3rm_core.encodings.reference:ReferenceGridEncoding",
    "tcnn": "f3rm_core.encodings.tcnn:TcnnGridEncoding",
}
"""Backend name -> where its class is; imported only when asked for."""


class GridEncoding(nn.Module, ABC):
    """Multiresolution hash grid over the unit cube.

    `params` is one flat parameter [entries * features_per_level], laid out [entry, feature] level after level,
    as in tiny-cuda-nn. All backends share it, so a state dict from one loads into another.

    Args:
        spec: shape of the grid.
        device: where the parameters live.
        generator: draws the initial parameters; None takes torch's global generator.
    """

    backend: str

    def __init__(
        self,
        spec: GridSpec,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        values = torch.empty(spec.num_parameters, dtype=torch.float32, device=device)
        values.uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=generator)
        self.params = nn.Parameter(values)  # [entries * features_per_level]

    @property
    def output_dim(self) -> int:
        """Width of the output, levels * features_per_level."""
        return self.spec.output_dim

    @abstractmethod
    def forward(
        self,
        positions: Tensor,  # [points, 3], in [0, 1]
    ) -> Tensor:  # [points, levels * features_per_level]
        """Interpolated features of every level, coarsest level first.

        Differentiable with respect to the parameters, and to the positions where they require it (once: no second
        derivative). The parameters' gradient is zero in rows that no position touches. Positions outside the cube
        wrap around to arbitrary entries, never out of bounds; NaN and infinite ones give NaN.
        """

    def warm_up(self) -> None:
        """Pay one-time costs (compilation) now, so that the first training step is a step like any other."""

    def extra_repr(self) -> str:
        return f"{self.spec}, parameters={self.spec.num_parameters}"


def resolve_backend(backend: str, device: torch.device | str) -> str:
    """Name of the backend that `build_grid` takes for this request.

    Args:
        backend: "auto" or a name; "auto" is numba on the CPU, and on CUDA tcnn where tinycudann can be used, or
            reference.
        device: where the encoding is to run.

    Raises:
        InvalidParameter: no such backend, or it can't run here.
    """
    kind = torch.device(device).type
    if backend == "auto":
        if kind == "cpu":
            return "numba"
        return "tcnn" if kind == "cuda" and _tcnn_obstacle() is None else "reference"
    if backend not in BACKENDS:
        raise InvalidParameter("encoding_backend", backend, f"must be auto or one of {', '.join(sorted(BACKENDS))}")
    if backend == "numba" and kind != "cpu":
        raise InvalidParameter("encoding_backend", backend, f"runs on the CPU only, not on {kind}; use auto")
    obstacle = _tcnn_obstacle() if backend == "tcnn" else None
    if obstacle is not None:
        raise InvalidParameter("encoding_backend", backend, f"tinycudann {obstacle}; see docs/cuda.md, or use auto")
    return backend


def build_grid(
    spec: GridSpec,
    backend: str = "auto",
    device: torch.device | str = "cpu",
    *,
    generator: torch.Generator | None = None,
) -> GridEncoding:
    """A hash grid encoding with fresh parameters.

    Args:
        spec: shape of the grid.
        backend: as for `resolve_backend`; the result's `backend` says which one it is.
        device: where the encoding is to run.
        generator: draws the initial parameters (on `device`); None takes torch's global generator.

    Raises:
        InvalidParameter: no such backend, or it can't run here, or it has no such grid.
    """
    module, _, name = BACKENDS[resolve_backend(backend, device)].partition(":")
    encoding: GridEncoding = getattr(importlib.import_module(module), name)(spec, device=device, generator=generator)
    return encoding


def _tcnn_obstacle() -> str | None:
    from f3rm_core.encodings import tcnn

    return tcnn.obstacle()
