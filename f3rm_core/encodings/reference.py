"""Hash grid in plain torch: short enough to check by eye, and the oracle of the other backends."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding

from f3rm_core.encodings.base import GridEncoding
from f3rm_core.encodings.spec import GridSpec, Level

HASH_PRIMES = (1, 2654435761, 805459861)
"""tiny-cuda-nn's coherent prime hash; the 1 keeps neighbours along x close in memory."""
MAX_CELL = 2.0**30
"""Cells are clamped to plus and minus this before they become integers, so that any float is a safe index."""
_UINT32 = 0xFFFFFFFF


class ReferenceGridEncoding(GridEncoding):
    """Any device, float32 or float64 (`.double()`); slow."""

    backend = "reference"

    def forward(self, positions: Tensor) -> Tensor:
        return encode(positions, self.params, self.spec)


def encode(
    positions: Tensor,  # [points, 3]
    params: Tensor,  # [entries * features]
    spec: GridSpec,
) -> Tensor:  # [points, levels * features]
    """The encoding as a pure function; positions are taken in the parameters' precision."""
    table = params.view(spec.num_entries, spec.features_per_level)
    positions = positions.to(params.dtype)
    return torch.cat([_encode_level(positions, table, level) for level in spec.levels], dim=-1)


def corner_indices(
    cells: Tensor,  # [points, 3] int64, the cell's lower corner
    level: Level,
) -> Tensor:  # [points, 8] int64, within the level's table; bit d of the corner's number: upper side along axis d
    """Entries of the eight corners of each cell."""
    steps = torch.tensor([[corner >> axis & 1 for axis in range(3)] for corner in range(8)], device=cells.device)
    x, y, z = (cells[:, None, :] + steps).bitwise_and(_UINT32).unbind(-1)  # [points, 8] each
    if level.dense:
        index = x + y * level.resolution + z * level.resolution**2
    else:
        # Products overflow int64 only above bit 31, which the mask below drops.
        index = (x * HASH_PRIMES[0]) ^ (y * HASH_PRIMES[1]) ^ (z * HASH_PRIMES[2])
    # The half-cell shift lets the upper corners reach past the last vertex: the index wraps, first as uint32.
    return index.bitwise_and(_UINT32) % level.size


def _encode_level(positions: Tensor, table: Tensor, level: Level) -> Tensor:
    # tiny-cuda-nn shifts by half a cell, so that cell borders of different levels do not line up.
    # It does so in one fused multiply-add, hence float64 here: rounding decides the cell of a point on a border.
    scaled = (positions.double() * level.scale + 0.5).to(table.dtype)  # [points, 3]
    floor = scaled.detach().floor()
    fraction = scaled - floor  # [points, 3]
    cells = floor.nan_to_num(nan=-MAX_CELL).clamp(-MAX_CELL, MAX_CELL).to(torch.int64)
    # embedding, not indexing: its gradient has the same bits on every run.
    values = embedding(level.offset + corner_indices(cells, level), table)  # [points, 8, features]
    sides = torch.stack((1 - fraction, fraction), dim=-1)  # [points, 3, 2]
    x, y, z = sides.unbind(1)
    weights = z[:, :, None, None] * y[:, None, :, None] * x[:, None, None, :]  # [points, 2 (z), 2 (y), 2 (x)]
    return (weights.reshape(-1, 8, 1) * values).sum(dim=1)
