"""Compiled loops of the CPU hash grid. `numba_cpu.py` is their only user, `reference.py` says what they compute.

How they are fast: points go in blocks; for a level and a block, one vectorised pass works out the eight indices and weights of
every point, and a second one gathers (or scatters) with software prefetch, as tables are larger than the caches nearest
to a core. Forward and position gradient are parallel over blocks, the parameter gradient over levels: no two threads write
to the same place, and neither blocks nor the order of sums depend on the number of threads, so neither do the bits.

Compiled code is cached on disk: beside this file, or where that is read-only in the user's cache folder, or in NUMBA_CACHE_DIR.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.core import cgutils, types
from numba.extending import intrinsic

from f3rm_core.encodings.reference import HASH_PRIMES, MAX_CELL

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


class Kernels(NamedTuple):
    """The kernels for one number of features per level.

    All arrays are flat and C-contiguous: with strides that the compiler knows it makes vector code. `levels` stands for five
    [levels] arrays: scales float32, resolutions uint32, sizes uint32, dense bool, offsets int64.
    """

    forward: Any
    """(positions [points * 3], table [entries * features], *levels, out encoded [points * levels * features])"""
    backward_table: Any
    """(positions, grad_encoded [points * levels * features], *levels, threads, out grad_table [entries * features])"""
    backward_positions: Any
    """(positions, table, grad_encoded, *levels, out grad_positions [points * 3])"""


@intrinsic
def _prefetch(typing_context: Any, array: Any, element: Any) -> Any:
    """Ask for the cache line of an element of a flat float32 array; never faults."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        offset = context.cast(builder, arguments[1], signature.args[1], types.intp)
        int32 = ir.IntType(32)
        byte_pointer = ir.IntType(8).as_pointer()
        address = builder.bitcast(builder.gep(data, [offset]), byte_pointer)
        prefetch_type = ir.FunctionType(ir.VoidType(), [byte_pointer, int32, int32, int32])
        function = cgutils.get_or_insert_function(builder.module, prefetch_type, "llvm.prefetch.p0")
        builder.call(function, [address, int32(0), int32(3), int32(1)])  # to read, into every cache level, data
        return context.get_dummy_value()

    return types.void(array, element), generate


@njit(cache=True, fastmath=_FAST)
def _locate(position: Any, scale: Any) -> Any:
    """Lower cell along an axis as uint32, and the fraction within the cell. Any float gives a valid cell."""
    scaled = np.float32(position * scale) + _HALF  # becomes one fused multiply-add
    floor = np.floor(scaled)
    cell = floor if floor > -_MAX_CELL else -_MAX_CELL  # NaN, too, ends here
    cell = cell if cell < _MAX_CELL else _MAX_CELL
    return np.uint32(np.int32(cell)), np.float32(scaled - floor)


@njit(cache=True, fastmath=_FAST)
def _corners(
    positions: Any, count: Any, scale: Any, resolution: Any, size: Any, dense: Any, index: Any, weight: Any
) -> None:
    """Entries and trilinear weights of the eight corners of `count` points, into index and weight [8 * _BLOCK]."""
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


@lru_cache(maxsize=None)
def kernels_for(features: int) -> Kernels:
    """Kernels with loops over features of a fixed length, which the compiler unrolls; compiled at their first call."""

    @njit(parallel=True, cache=True, fastmath=_FAST)
    def forward(positions, table, scales, resolutions, sizes, dense, offsets, encoded):  # type: ignore[no-untyped-def]
        points = positions.shape[0] // 3
        width = scales.shape[0] * features
        for block in prange((points + _BLOCK - 1) // _BLOCK):
            index = np.empty(8 * _BLOCK, np.uint32)
            weight = np.empty(8 * _BLOCK, np.float32)
            first = np.int64(block) * _BLOCK
            count = min(_BLOCK, points - first)
            at = positions[3 * first : 3 * (first + count)]
            rows = encoded[width * first : width * (first + count)]
            for level in range(scales.shape[0]):
                size = sizes[level]
                _corners(at, count, scales[level], resolutions[level], size, dense[level], index, weight)
                entries = table[offsets[level] * features : (offsets[level] + np.int64(size)) * features]
                for i in range(count):
                    ahead = min(i + _AHEAD, count - 1)
                    for corner in range(8):
                        _prefetch(entries, np.int64(index[corner * _BLOCK + ahead]) * features)
                    row = i * width + level * features
                    for feature in range(features):
                        total = np.float32(0.0)
                        for corner in range(8):
                            entry = np.int64(index[corner * _BLOCK + i]) * features
                            total += weight[corner * _BLOCK + i] * entries[entry + feature]
                        rows[row + feature] = total

    @njit(parallel=True, cache=True, fastmath=_FAST)
    def backward_table(  # type: ignore[no-untyped-def]
        positions, grad_encoded, scales, resolutions, sizes, dense, offsets, threads, grad_table
    ):
        points = positions.shape[0] // 3
        levels = scales.shape[0]
        width = levels * features
        for thread in prange(threads):
            index = np.empty(8 * _BLOCK, np.uint32)
            weight = np.empty(8 * _BLOCK, np.float32)
            for turn in range((levels + threads - 1) // threads):
                # Fine levels cost more: dealt out like cards, back and forth, from the finest on.
                seat = np.int64(thread)
                level = levels - 1 - (turn * threads + (seat if turn % 2 == 0 else threads - 1 - seat))
                if level < 0:
                    continue
                size = sizes[level]
                entries = grad_table[offsets[level] * features : (offsets[level] + np.int64(size)) * features]
                entries[:] = np.float32(0.0)
                for first in range(0, points, _BLOCK):
                    count = min(_BLOCK, points - first)
                    at = positions[3 * first : 3 * (first + count)]
                    upstream = grad_encoded[width * first : width * (first + count)]
                    _corners(at, count, scales[level], resolutions[level], size, dense[level], index, weight)
                    for i in range(count):
                        ahead = min(i + _AHEAD, count - 1)
                        for corner in range(8):
                            _prefetch(entries, np.int64(index[corner * _BLOCK + ahead]) * features)
                        row = i * width + level * features
                        for corner in range(8):
                            entry = np.int64(index[corner * _BLOCK + i]) * features
                            share = weight[corner * _BLOCK + i]
                            for feature in range(features):
                                entries[entry + feature] += share * upstream[row + feature]

    @njit(parallel=True, cache=True, fastmath=_FAST)
    def backward_positions(  # type: ignore[no-untyped-def]
        positions, table, grad_encoded, scales, resolutions, sizes, dense, offsets, grad_positions
    ):
        points = positions.shape[0] // 3
        width = scales.shape[0] * features
        for block in prange((points + _BLOCK - 1) // _BLOCK):
            index = np.empty(8 * _BLOCK, np.uint32)
            weight = np.empty(8 * _BLOCK, np.float32)
            first = np.int64(block) * _BLOCK
            count = min(_BLOCK, points - first)
            at = positions[3 * first : 3 * (first + count)]
            upstream = grad_encoded[width * first : width * (first + count)]
            grads = grad_positions[3 * first : 3 * (first + count)]
            grads[:] = np.float32(0.0)
            for level in range(scales.shape[0]):
                scale = scales[level]
                size = sizes[level]
                _corners(at, count, scale, resolutions[level], size, dense[level], index, weight)
                entries = table[offsets[level] * features : (offsets[level] + np.int64(size)) * features]
                for i in range(count):
                    ahead = min(i + _AHEAD, count - 1)
                    for corner in range(8):
                        _prefetch(entries, np.int64(index[corner * _BLOCK + ahead]) * features)
                    row = i * width + level * features
                    for axis in range(3):
                        slope = np.float32(0.0)
                        for edge in range(4):
                            # The corners at both ends of an edge along this axis; their weights add up to the edge's.
                            lower = (edge % (1 << axis) + (edge >> axis << (axis + 1))) * _BLOCK + i
                            upper = lower + (_BLOCK << axis)
                            rise = np.float32(0.0)
                            for feature in range(features):
                                high = entries[np.int64(index[upper]) * features + feature]
                                low = entries[np.int64(index[lower]) * features + feature]
                                rise += upstream[row + feature] * (high - low)
                            slope += (weight[lower] + weight[upper]) * rise
                        grads[3 * i + axis] += scale * slope

    return Kernels(forward, backward_table, backward_positions)
