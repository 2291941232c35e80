"""Hash grid and MLP in one call of tiny-cuda-nn, from parameters that stay where they are.

Grid tables and weights remain parameters of their own (`grid.params`, the linear layers), so state dicts and
optimizers know nothing of tiny-cuda-nn. For each call they are laid out as it wants them, by operations that autograd
follows back.

The layout, from tiny-cuda-nn's network_with_input_encoding.h, cutlass_mlp.cu, fully_fused_mlp.cu, composite.h and
frequency.h: one flat vector, the network first and then the grid. A weight matrix is row-major [fan out, fan in];
the first one's fan in and the last one's fan out are rounded up to a multiple of 16. The first one's columns are the
grid's features, the positional encoding's numbers, and padding, where the encoding gives ones or zeros: zero weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from f3rm_core.encodings.spec import GridSpec
from f3rm_core.encodings.tcnn import TcnnGridEncoding, TcnnModule, grid_config
from f3rm_core.errors import InvalidParameter
from f3rm_core.model import mlp
from f3rm_core.model.position_encoding import positional_encoding

ALIGNMENT = 16
_FUSED_WIDTHS = (16, 32, 64, 128)
_FUSED_SHARED_BYTES = 64 * 1024
"""A block's shared memory on every GPU that has FullyFusedMLP (Turing's; newer ones have more)."""


def encoded_mlp(
    grid: TcnnGridEncoding,
    weights: Sequence[Tensor],  # each [fan out, fan in]
    points: Tensor,  # [points, 3] in the unit cube
    frequencies: int = 0,
) -> Tensor:  # [points, output]
    """See model.mlp. One call of tiny-cuda-nn under autocast; without it, and for widths that tiny-cuda-nn has no
    network for, its grid in the precision asked for and a network in plain torch.

    In half precision tiny-cuda-nn's positional encoding is ours: sin and cos of the same angles, in another order.
    """
    if len(points) and torch.is_autocast_enabled(points.device.type):
        shape = NetworkShape(grid.spec, frequencies, tuple(len(weight) for weight in weights))
        if shape.config is not None:
            grid.check_tables()
            native = network(shape)
            with torch.autocast(points.device.type, enabled=False):  # precisions are tiny-cuda-nn's from here on
                inputs = torch.cat([points, points], -1) if frequencies else points
                return native(inputs, pack(shape, weights, grid.params, native.dtype), shape.widths[-1])
    return mlp.encoded_mlp(mlp.mlp, positional_encoding, grid, weights, points, frequencies)


@dataclass(frozen=True)
class NetworkShape:
    """A grid, bands of a positional encoding beside it (0: none), and the widths of an MLP's layers after its input."""

    grid: GridSpec
    frequencies: int
    widths: tuple[int, ...]

    @property
    def encoded(self) -> int:
        """Width of what goes into the network, without padding."""
        return self.grid.output_dim + 6 * self.frequencies

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """[fan out, fan in] of tiny-cuda-nn's weight matrices."""
        widths = [_aligned(self.encoded), *self.widths[:-1], _aligned(self.widths[-1])]
        return [(fan_out, fan_in) for fan_in, fan_out in pairwise(widths)]

    @property
    def num_parameters(self) -> int:
        return sum(rows * columns for rows, columns in self.matrices) + self.grid.num_parameters

    @property
    def config(self) -> dict[str, Any] | None:
        """The network in tiny-cuda-nn's words; None where it has none: its hidden layers are all of one width, a
        multiple of 16."""
        hidden = set(self.widths[:-1])
        width = max(hidden, default=ALIGNMENT)
        if len(hidden) > 1 or width % ALIGNMENT:
            return None
        shared_bytes = 2 * (width + 16) * (_aligned(self.encoded) + 8)  # of the first layer, with its input
        fused = bool(hidden) and width in _FUSED_WIDTHS and shared_bytes <= _FUSED_SHARED_BYTES
        return {
            "otype": "FullyFusedMLP" if fused else "CutlassMLP",
            "activation": "ReLU",
            "output_activation": "None",
            "n_neurons": width,
            "n_hidden_layers": len(self.widths) - 1,
        }

    @property
    def encoding_config(self) -> dict[str, Any]:
        """The grid; with a positional encoding a composite of two, which read the points from columns of their own."""
        grid = grid_config(self.grid)
        if not self.frequencies:
            return grid
        waves = {"otype": "Frequency", "n_frequencies": self.frequencies}
        return {"otype": "Composite", "nested": [{"n_dims_to_encode": 3, **one} for one in (grid, waves)]}


def pack(
    shape: NetworkShape,
    weights: Sequence[Tensor],  # each [fan out, fan in]
    table: Tensor,  # [entries * features]
    dtype: torch.dtype,
) -> Tensor:  # [num_parameters]
    """Parameters as tiny-cuda-nn lays them out."""
    features = shape.grid.output_dim
    first = weights[0]
    if shape.frequencies:
        # Ours: all sines, then all cosines, each axis by axis. There: axis by axis, for each band sine and cosine.
        waves = first[:, features:].unflatten(1, (2, 3, shape.frequencies)).permute(0, 2, 3, 1).flatten(1)
        first = torch.cat([first[:, :features], waves], 1)
    parts = []
    for weight, (rows, columns) in zip([first, *weights[1:]], shape.matrices, strict=True):
        padded = pad(weight, (0, columns - weight.shape[1], 0, rows - weight.shape[0]))
        parts.append(padded.flatten().to(dtype))
    return torch.cat([*parts, table.to(dtype)])


@lru_cache(maxsize=64)
def network(shape: NetworkShape) -> TcnnModule:
    """The module for a shape: it has no parameters, so all networks of the shape share it."""
    inputs = 6 if shape.frequencies else 3
    native = TcnnModule(
        lambda tinycudann: tinycudann.NetworkWithInputEncoding(
            inputs, shape.widths[-1], shape.encoding_config, shape.config
        )
    )
    if native.num_parameters != shape.num_parameters:
        message = (
            f"this tinycudann has {native.num_parameters} parameters for a network of {shape.num_parameters}; "
            "use encoding_backend reference"
        )
        raise InvalidParameter("encoding_backend", "tcnn", message)
    return native


def _aligned(width: int) -> int:
    return -(-width // ALIGNMENT) * ALIGNMENT
