"""What a network's call takes for each point, by who computes it: read off the code that runs.

Bytes a point everywhere. What the backward pass needs is held from the forward pass on; the rest is given back when the
call returns. Source of the native figures: tiny-cuda-nn 2.0, encodings/grid.h, networks/fully_fused_mlp.cu and
bindings/torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from f3rm_core.encodings.spec import GridSpec

Style = Literal["numba", "reference", "tcnn", "tcnn-half"]

POSITION = 12
_FLOAT, _HALF = 4, 2
_CORNERS = 8


@dataclass(frozen=True)
class NetworkBytes:
    """Bytes a point.

    Args:
        held: each tensor that waits for the backward pass, beside positions and output.
        passing: what the forward pass takes beside these and gives back.
        output: of the result.
        backward: each tensor that the backward pass takes at once, the gradient of the output apart.
        inference: what a call without a backward pass takes beside positions and output.
        workspace: in tiny-cuda-nn's own memory: from the forward pass on, and more in the backward pass.
    """

    held: tuple[float, ...]
    passing: float
    output: float
    backward: tuple[float, ...]
    inference: float
    workspace: tuple[float, float] = (0.0, 0.0)


def grid_network(
    style: Style, grid: GridSpec, widths: Sequence[int], *, frequencies: int = 0, poses: bool, half: bool
) -> NetworkBytes:
    """A hash grid, a positional encoding beside it, and an MLP behind them.

    Args:
        style: who computes it.
        grid: the hash grid.
        widths: of the MLP's layers after its input.
        frequencies: bands of the positional encoding; 0 for none.
        poses: whether positions need gradients, for camera poses.
        half: whether networks of PyTorch compute in half precision.
    """
    encoded, waves = grid.output_dim, 6 * frequencies
    if style == "tcnn-half":
        return _native(encoded, waves, widths, poses=poses)
    angles = _FLOAT * 3 * frequencies if poses else 0
    number = _HALF if half else _FLOAT
    hidden = tuple(float(number * width) for width in widths[:-1])
    to_positions = (POSITION,) if poses else ()
    inputs = (_FLOAT * encoded, _FLOAT * waves)
    grid_bytes, of_grid, passing, workspace = _grid(style, grid, poses=poses)
    if style == "numba":  # networks go chunk by chunk: no layer's output exists twice
        to_inputs = (_FLOAT * encoded, _FLOAT * waves if poses else 0)
        held = (*of_grid, inputs[0], inputs[1], angles, *hidden)
        return NetworkBytes(held, 0, _FLOAT * widths[-1], (*to_inputs, *to_positions), sum(inputs))
    parts = 2 if waves else 1
    copies = (number * (encoded + waves),) if half else inputs  # matrix products in half precision keep half copies
    widest = number * max(widths)
    between = widest * (1 + parts) + (sum(inputs) if half else 0)
    backward = (2.0 * widest, number * (encoded + waves), grid_bytes, *to_positions)
    inference = sum(inputs) + _FLOAT * max(widths) * (1 + parts) + passing
    return NetworkBytes(
        (*of_grid, *copies, angles, *hidden),
        max(passing, between),
        number * widths[-1],
        backward,
        inference,
        (workspace, 0.0),
    )


def color_network(style: Style, inputs: int, widths: Sequence[int], *, half: bool) -> NetworkBytes:
    """The colour MLP: its input is the geometry MLP's output, which is there already.

    Args:
        style: who computes it.
        inputs: width of the input.
        widths: of the layers after it.
        half: whether it computes in half precision.
    """
    number = _HALF if half else _FLOAT
    hidden = tuple(float(number * width) for width in widths[:-1])
    if style == "numba":
        return NetworkBytes(hidden, 0, _FLOAT * widths[-1], (_FLOAT * inputs,), 0)
    cast = (float(number * inputs),) if half and style != "tcnn-half" else ()  # tiny-cuda-nn's output is half already
    widest = number * max(widths)
    return NetworkBytes(
        (*cast, *hidden),
        2 * widest,
        number * widths[-1],
        (2.0 * widest, number * inputs),
        2 * _FLOAT * max(widths),
    )


def weighing(style: Style) -> tuple[float, float]:
    """Densities into weights: held beside the weights, and the weights."""
    # Plain: log density, lengths, transmittance, twice the opacity, and the product before NaN are saved.
    return (_FLOAT, _FLOAT) if style == "numba" else (6 * _FLOAT, _FLOAT)


def positioning(style: Style, *, poses: bool) -> tuple[float, float]:
    """Contraction of positions: held beside the positions, and passing."""
    if poses:
        # Of `rendering.sample_positions`: the middles, the positions in space and their size (three numbers each), and
        # five numbers of the factor.
        return 2 * POSITION + 6 * _FLOAT, 2 * POSITION
    return (0, 0) if style == "numba" else (0, 3 * POSITION)


def _grid(style: Style, grid: GridSpec, *, poses: bool) -> tuple[float, tuple[float, ...], float, float]:
    """The grid alone: gradient of its output, held, passing, tiny-cuda-nn's workspace."""
    features = grid.features_per_level
    if style == "reference":
        # For each level: the corners' indices (int64) and weights; for positions, what the weights were made of, too.
        level = _CORNERS * (8 + _FLOAT) + (_CORNERS * _FLOAT * (features + 1) + 2 * POSITION + 4 * _FLOAT) * poses
        corners = _CORNERS * 3 * 8 * 3 + _CORNERS * _FLOAT * features * 2
        return _CORNERS * _FLOAT * features, (float(level * grid.num_levels),), corners, 0.0
    slopes = 3 * _FLOAT * grid.output_dim if poses and style == "tcnn" else 0
    return 0.0, (), 0.0, float(slopes)


def _native(encoded: int, waves: int, widths: Sequence[int], *, poses: bool) -> NetworkBytes:
    """One call of tiny-cuda-nn in half precision."""
    inside = _HALF * (_aligned(encoded + waves) + sum(widths[:-1]))
    slopes = (3 * _FLOAT * encoded + _FLOAT * waves) if poses else 0
    output = float(_HALF * _aligned(widths[-1]))
    inputs = 2.0 * POSITION if waves else 0.0
    backward = (output, *((POSITION,) if poses else ()))
    inference = _FLOAT * (encoded + waves) + 2 * _FLOAT * max(
        widths
    )  # evaluation is in full precision: networks of PyTorch
    return NetworkBytes((inputs,), 0.0, output, backward, inference, (inside + slopes, inside + output))


def _aligned(width: int) -> int:
    return -(-width // 16) * 16
