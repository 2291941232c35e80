"""Compiled loops of the CPU hash grid. `reference.py` says what they compute, `numba_cpu.py` is their only user.

How they are fast: points go in blocks; for a level and a block, one vectorised pass works out the eight indices and
weights of every point, and a second one gathers (or scatters) with software prefetch, as tables are larger than the
caches nearest to a core. Forward and position gradient are parallel over blocks, the parameter gradient over levels:
no two threads write to the same place, and neither blocks nor the order of sums depend on the number of threads, so
neither do the bits.

Compiled code is cached on disk: beside this file, or where that is read-only in the user's cache folder, or in
NUMBA_CACHE_DIR.
"""

# ruff: noqa: PLR0915 - kernels close over the number of features, so they stand in one function

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, prange
from numba.core import cgutils, types
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

from f3rm_core.encodings.reference import HASH_PRIMES, MAX_CELL
from f3rm_core.encodings.spec import GridSpec

_BLOCK = 512  # points; a block's indices and weights are 32 KiB and stay near the core
_AHEAD = 16  # points between a prefetch and its use: about the memory latency over the time for a point
_FAST = {"contract"}  # fused multiply-add, as in tiny-cuda-nn; no reordering of sums, NaN stays NaN

# numba turns mixed and small integers into 64 bits: typed constants and casts keep the arithmetic in 32.
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_MAX_CELL = np.float32(MAX_CELL)
_UNIT = np.uint32(1)
_PRIME_Y = np.uint32(HASH_PRIMES[1])
_PRIME_Z = np.uint32(HASH_PRIMES[2])

_INT32 = ir.IntType(32)
_INT64 = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_FLOAT_ALIGNMENT_BYTES = 4
_CONTRACT = tuple(_FAST)


class Levels(NamedTuple):
    """A grid's levels as arrays, [levels] each."""

    scales: npt.NDArray[np.float32]
    resolutions: npt.NDArray[np.uint32]
    sizes: npt.NDArray[np.uint32]
    dense: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, spec: GridSpec) -> Levels:
        return cls(
            scales=np.array([level.scale for level in spec.levels], np.float32),
            resolutions=np.array([level.resolution for level in spec.levels], np.uint32),
            sizes=np.array([level.size for level in spec.levels], np.uint32),
            dense=np.array([level.dense for level in spec.levels], np.bool_),
            offsets=np.array([level.offset for level in spec.levels], np.int64),
        )


class Kernels(NamedTuple):
    """The kernels for one number of features per level.

    All arrays are flat and C-contiguous: with strides that the compiler knows it makes vector code.
    """

    forward: Any
    """(positions [points * 3], table [entries * features], levels, out: encoded [points * levels * features])"""
    backward_table: Any
    """(positions, grad_encoded (like encoded), levels, threads, out: grad_table [entries * features])"""
    backward_positions: Any
    """(positions, table, grad_encoded, levels, out: grad_positions [points * 3])"""


@cache
def kernels_for(features: int) -> Kernels:
    """Kernels with a fixed number of features, so that the compiler unrolls; compiled at their first call."""

    @njit(parallel=True, cache=True, fastmath=_FAST)
    def forward(positions, table, levels, encoded):  # type: ignore[no-untyped-def]
        points = positions.shape[0] // 3
        width = levels.scales.shape[0] * features
        for block in prange((points + _BLOCK - 1) // _BLOCK):
            index = np.empty(8 * _BLOCK, np.uint32)
            weight = np.empty(8 * _BLOCK, np.float32)
            first = np.int64(block) * _BLOCK
            count = min(_BLOCK, points - first)
            at = positions[3 * first : 3 * (first + count)]
            rows = encoded[width * first : width * (first + count)]
            for level in range(levels.scales.shape[0]):
                _corners(at, count, levels, level, index, weight)
                entries = _entries(table, levels, level, features)
                for i in range(count):
                    ahead = min(i + _AHEAD, count - 1)
                    _prefetch_corners(entries, index, ahead, features)
                    row = i * width + level * features
                    _gather_corners(entries, index, weight, i, rows, row, features)

    @njit(parallel=True, cache=True, fastmath=_FAST)
    def backward_table(positions, grad_encoded, levels, threads, grad_table):  # type: ignore[no-untyped-def]
        points = positions.shape[0] // 3
        number = levels.scales.shape[0]
        width = number * features
        for thread in prange(threads):
            index = np.empty(8 * _BLOCK, np.uint32)
            weight = np.empty(8 * _BLOCK, np.float32)
            for turn in range((number + threads - 1) // threads):
                # Fine levels cost more: dealt out like cards, back and forth, from the finest on.
                seat = np.int64(thread)
                level = number - 1 - (turn * threads + (seat if turn % 2 == 0 else threads - 1 - seat))
                if level < 0:
                    continue
                entries = _entries(grad_table, levels, level, features)
                entries[:] = np.float32(0.0)
                for first in range(0, points, _BLOCK):
                    count = min(_BLOCK, points - first)
                    at = positions[3 * first : 3 * (first + count)]
                    upstream = grad_encoded[width * first : width * (first + count)]
                    _corners(at, count, levels, level, index, weight)
                    for i in range(count):
                        ahead = min(i + _AHEAD, count - 1)
                        _prefetch_corners(entries, index, ahead, features)
                        row = i * width + level * features
                        _scatter_corners(entries, index, weight, i, upstream, row, features)

    @njit(parallel=True, cache=True, fastmath=_FAST)
    def backward_positions(positions, table, grad_encoded, levels, grad_positions):  # type: ignore[no-untyped-def]
        points = positions.shape[0] // 3
        width = levels.scales.shape[0] * features
        for block in prange((points + _BLOCK - 1) // _BLOCK):
            index = np.empty(8 * _BLOCK, np.uint32)
            weight = np.empty(8 * _BLOCK, np.float32)
            share = np.empty(8, np.float32)  # of each corner's entry in the loss
            first = np.int64(block) * _BLOCK
            count = min(_BLOCK, points - first)
            at = positions[3 * first : 3 * (first + count)]
            upstream = grad_encoded[width * first : width * (first + count)]
            grads = grad_positions[3 * first : 3 * (first + count)]
            grads[:] = np.float32(0.0)
            for level in range(levels.scales.shape[0]):
                _corners(at, count, levels, level, index, weight)
                entries = _entries(table, levels, level, features)
                for i in range(count):
                    ahead = min(i + _AHEAD, count - 1)
                    _prefetch_corners(entries, index, ahead, features)
                    row = i * width + level * features
                    for corner in range(8):
                        entry = np.int64(index[corner * _BLOCK + i]) * features
                        total = np.float32(0.0)
                        for feature in range(features):
                            total += upstream[row + feature] * entries[entry + feature]
                        share[corner] = total
                    for axis in range(3):
                        slope = np.float32(0.0)
                        for edge in range(4):
                            # The corners at its ends; along this axis their weights add up to the edge's own.
                            lower = edge % (1 << axis) + (edge >> axis << (axis + 1))
                            upper = lower + (1 << axis)
                            edge_weight = weight[lower * _BLOCK + i] + weight[upper * _BLOCK + i]
                            slope += edge_weight * (share[upper] - share[lower])
                        grads[3 * i + axis] += levels.scales[level] * slope

    return Kernels(forward, backward_table, backward_positions)


@njit(cache=True, fastmath=_FAST)
def _locate(position: Any, scale: Any) -> Any:
    """Lower cell along an axis as uint32, and the fraction within the cell. Any float gives a valid cell."""
    scaled = np.float32(position * scale) + _HALF  # becomes one fused multiply-add
    floor = np.floor(scaled)
    cell = floor if floor > -_MAX_CELL else -_MAX_CELL  # NaN, too, ends here
    cell = cell if cell < _MAX_CELL else _MAX_CELL
    return np.uint32(np.int32(cell)), np.float32(scaled - floor)


@njit(cache=True)
def _entries(table: Any, levels: Any, level: Any, features: Any) -> Any:
    """The level's part of a table."""
    first = levels.offsets[level] * features
    return table[first : first + np.int64(levels.sizes[level]) * features]


@njit(cache=True, fastmath=_FAST)
def _corners(positions: Any, count: Any, levels: Any, level: Any, index: Any, weight: Any) -> None:
    """Entries and trilinear weights of `count` points' eight corners, into index and weight [8 * _BLOCK]."""
    scale = levels.scales[level]
    resolution = levels.resolutions[level]
    size = levels.sizes[level]
    dense = levels.dense[level]
    plane = np.uint32(resolution * resolution)
    mask = np.uint32(size - _UNIT)  # of use where size is a power of two, that is, where entries are hashed
    for i in range(count):
        x, x_upper = _locate(positions[3 * i + 0], scale)
        y, y_upper = _locate(positions[3 * i + 1], scale)
        z, z_upper = _locate(positions[3 * i + 2], scale)
        x_lower = np.float32(_ONE - x_upper)
        y_lower = np.float32(_ONE - y_upper)
        z_lower = np.float32(_ONE - z_upper)
        weight[i] = x_lower * np.float32(y_lower * z_lower)
        weight[_BLOCK + i] = x_upper * np.float32(y_lower * z_lower)
        weight[2 * _BLOCK + i] = x_lower * np.float32(y_upper * z_lower)
        weight[3 * _BLOCK + i] = x_upper * np.float32(y_upper * z_lower)
        weight[4 * _BLOCK + i] = x_lower * np.float32(y_lower * z_upper)
        weight[5 * _BLOCK + i] = x_upper * np.float32(y_lower * z_upper)
        weight[6 * _BLOCK + i] = x_lower * np.float32(y_upper * z_upper)
        weight[7 * _BLOCK + i] = x_upper * np.float32(y_upper * z_upper)
        x1 = np.uint32(x + _UNIT)
        if dense:
            y0 = np.uint32(y * resolution)
            y1 = np.uint32(y0 + resolution)
            z0 = np.uint32(z * plane)
            z1 = np.uint32(z0 + plane)
            index[i] = np.uint32(x + np.uint32(y0 + z0))
            index[_BLOCK + i] = np.uint32(x1 + np.uint32(y0 + z0))
            index[2 * _BLOCK + i] = np.uint32(x + np.uint32(y1 + z0))
            index[3 * _BLOCK + i] = np.uint32(x1 + np.uint32(y1 + z0))
            index[4 * _BLOCK + i] = np.uint32(x + np.uint32(y0 + z1))
            index[5 * _BLOCK + i] = np.uint32(x1 + np.uint32(y0 + z1))
            index[6 * _BLOCK + i] = np.uint32(x + np.uint32(y1 + z1))
            index[7 * _BLOCK + i] = np.uint32(x1 + np.uint32(y1 + z1))
        else:
            y0 = np.uint32(y * _PRIME_Y)
            y1 = np.uint32(y0 + _PRIME_Y)
            z0 = np.uint32(z * _PRIME_Z)
            z1 = np.uint32(z0 + _PRIME_Z)
            index[i] = (x ^ y0 ^ z0) & mask
            index[_BLOCK + i] = (x1 ^ y0 ^ z0) & mask
            index[2 * _BLOCK + i] = (x ^ y1 ^ z0) & mask
            index[3 * _BLOCK + i] = (x1 ^ y1 ^ z0) & mask
            index[4 * _BLOCK + i] = (x ^ y0 ^ z1) & mask
            index[5 * _BLOCK + i] = (x1 ^ y0 ^ z1) & mask
            index[6 * _BLOCK + i] = (x ^ y1 ^ z1) & mask
            index[7 * _BLOCK + i] = (x1 ^ y1 ^ z1) & mask
    if dense:
        highest = _UNIT
        for corner in range(8):
            for i in range(count):
                highest = max(highest, index[corner * _BLOCK + i])
        if highest >= size:  # rare: division costs more than the rest
            for corner in range(8):
                for i in range(count):
                    index[corner * _BLOCK + i] = index[corner * _BLOCK + i] % size


# Three vector instructions that numba has no words for. Left to the compiler, loops over a handful of features become
# scalar code, half as fast at 8 features per level. `features` is a constant where a kernel is compiled. They live in
# this file because numba's cache of compiled code watches the kernel's own file and no other.


@intrinsic(prefer_literal=True)
def _prefetch_corners(
    typing_context: Any, entries: Any, index: Any, point: Any, features: Any
) -> tuple[Any, Callable[..., Any]]:
    """Ask for the memory of the point's eight entries; never faults."""
    width = _constant(features)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        entries_at, index_at = _data(context, builder, signature, arguments, 0, 1)
        point_number = context.cast(builder, arguments[2], signature.args[2], types.int64)
        prefetch_type = ir.FunctionType(ir.VoidType(), [_BYTES, _INT32, _INT32, _INT32])
        prefetch = cgutils.get_or_insert_function(builder.module, prefetch_type, "llvm.prefetch.p0")
        for slot in _slots(builder, point_number):
            address = builder.bitcast(_entry(builder, entries_at, index_at, slot, width), _BYTES)
            builder.call(prefetch, [address, _INT32(0), _INT32(3), _INT32(1)])  # read, keep in all caches, data
        return context.get_dummy_value()

    return types.void(entries, index, point, features), generate


@intrinsic(prefer_literal=True)
def _gather_corners(
    typing_context: Any, entries: Any, index: Any, weight: Any, point: Any, out: Any, at: Any, features: Any
) -> tuple[Any, Callable[..., Any]]:
    """out[at : at + features] = sum over corners of weight * entry."""
    width = _constant(features)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        entries_at, index_at, weight_at, out_at = _data(context, builder, signature, arguments, 0, 1, 2, 4)
        point_number = context.cast(builder, arguments[3], signature.args[3], types.int64)
        target = builder.gep(out_at, [context.cast(builder, arguments[5], signature.args[5], types.int64)])
        total = ir.Constant(_vector(width), [0.0] * width)
        for slot in _slots(builder, point_number):
            values = _load(builder, _entry(builder, entries_at, index_at, slot, width), width)
            share = _broadcast(builder, builder.load(builder.gep(weight_at, [slot])), width)
            total = builder.fadd(total, builder.fmul(share, values, flags=_CONTRACT), flags=_CONTRACT)
        _store(builder, total, target, width)
        return context.get_dummy_value()

    return types.void(entries, index, weight, point, out, at, features), generate


@intrinsic(prefer_literal=True)
def _scatter_corners(
    typing_context: Any, entries: Any, index: Any, weight: Any, point: Any, grad: Any, at: Any, features: Any
) -> tuple[Any, Callable[..., Any]]:
    """entry += weight * grad[at : at + features], for each corner in turn."""
    width = _constant(features)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        entries_at, index_at, weight_at, grad_at = _data(context, builder, signature, arguments, 0, 1, 2, 4)
        point_number = context.cast(builder, arguments[3], signature.args[3], types.int64)
        source = builder.gep(grad_at, [context.cast(builder, arguments[5], signature.args[5], types.int64)])
        upstream = _load(builder, source, width)
        for slot in _slots(builder, point_number):
            entry = _entry(builder, entries_at, index_at, slot, width)
            share = _broadcast(builder, builder.load(builder.gep(weight_at, [slot])), width)
            product = builder.fmul(share, upstream, flags=_CONTRACT)
            _store(builder, builder.fadd(_load(builder, entry, width), product, flags=_CONTRACT), entry, width)
        return context.get_dummy_value()

    return types.void(entries, index, weight, point, grad, at, features), generate


def _constant(argument: Any) -> int:
    if not isinstance(argument, types.IntegerLiteral):
        raise RequireLiteralValue(f"{argument}: must be a constant where the kernel is compiled")
    return int(argument.literal_value)


def _data(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, *numbers: int) -> list[Any]:
    """Addresses of the first elements of the array arguments with these numbers."""
    return [context.make_array(signature.args[n])(context, builder, arguments[n]).data for n in numbers]


def _slots(builder: ir.IRBuilder, point: Any) -> Iterator[Any]:
    """Places of the point's corners in index and weight."""
    return (builder.add(point, _INT64(corner * _BLOCK)) for corner in range(8))


def _entry(builder: ir.IRBuilder, entries: Any, index: Any, slot: Any, features: int) -> Any:
    row = builder.zext(builder.load(builder.gep(index, [slot])), _INT64)
    return builder.gep(entries, [builder.mul(row, _INT64(features))])


def _vector(features: int) -> ir.VectorType:
    return ir.VectorType(ir.FloatType(), features)


def _load(builder: ir.IRBuilder, address: Any, features: int) -> Any:
    return builder.load(builder.bitcast(address, _vector(features).as_pointer()), align=_FLOAT_ALIGNMENT_BYTES)


def _store(builder: ir.IRBuilder, value: Any, address: Any, features: int) -> None:
    builder.store(value, builder.bitcast(address, _vector(features).as_pointer()), align=_FLOAT_ALIGNMENT_BYTES)


def _broadcast(builder: ir.IRBuilder, scalar: Any, features: int) -> Any:
    undefined = ir.Constant(_vector(features), ir.Undefined)
    first = builder.insert_element(undefined, scalar, _INT32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT32, features), [0] * features))
