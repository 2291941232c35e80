"""Compiled loops along rays. `fused.py` is their only user; the plain torch twins there named say what they compute.

All are parallel over rays and write each ray's numbers once, so the bits do not depend on the number of threads.
Arrays are float32 and C-contiguous. Compiled code is cached on disk.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

_KERNEL: dict[str, Any] = {"parallel": True, "cache": True, "fastmath": {"contract"}}
# Sums over channels may be reordered into vector lanes; compiled once, the order is fixed.
_KERNEL_OF_CHANNELS: dict[str, Any] = {**_KERNEL, "fastmath": {"contract", "reassoc", "nsz"}}

_ZERO = np.float32(0.0)
_QUARTER = np.float32(0.25)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_THIRD = np.float32(1.0 / 3.0)
_EXPONENT_LIMIT = np.float32(15.0)  # of trunc_exp's gradient, in nerfstudio
_TINY = np.float32(1e-7)  # EPS of nerfstudio's losses


@njit(**_KERNEL)
def positions(origins, directions, edges, out):  # type: ignore[no-untyped-def]
    """rendering.sample_positions: [rays, 3], [rays, 3], [rays, samples + 1] -> out [rays, samples, 3]."""
    samples = out.shape[1]
    for ray in prange(out.shape[0]):
        o0, o1, o2 = origins[ray, 0], origins[ray, 1], origins[ray, 2]
        d0, d1, d2 = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        for i in range(samples):
            middle = _HALF * (edges[ray, i] + edges[ray, i + 1])
            x, y, z = o0 + d0 * middle, o1 + d1 * middle, o2 + d2 * middle
            size = max(abs(x), abs(y), abs(z), _ONE)
            inverse = _ONE / size
            factor = (_TWO - inverse) * inverse
            out[ray, i, 0] = (x * factor + _TWO) * _QUARTER
            out[ray, i, 1] = (y * factor + _TWO) * _QUARTER
            out[ray, i, 2] = (z * factor + _TWO) * _QUARTER


@njit(**_KERNEL)
def weights_forward(raw, edges, scale, weights, passed):  # type: ignore[no-untyped-def]
    """rendering.weights_from_raw: raw [rays, samples, k], edges [rays, samples + 1] -> weights, passed [rays, samples].

    passed: the share of light behind each interval, for the backward pass.
    """
    for ray in prange(weights.shape[0]):
        before = _ZERO
        for i in range(weights.shape[1]):
            thickness = scale * np.float32(math.exp(raw[ray, i, 0])) * (edges[ray, i + 1] - edges[ray, i])
            weight = np.float32(math.exp(-before)) * -np.float32(math.expm1(-thickness))
            before += thickness
            weights[ray, i] = _ZERO if math.isnan(weight) else weight
            passed[ray, i] = np.float32(math.exp(-before))


@njit(**_KERNEL)
def weights_backward(raw, edges, scale, weights, passed, grad_weights, grad_raw):  # type: ignore[no-untyped-def]
    """-> grad_raw [rays, samples, k], zero but for its first column."""
    samples = weights.shape[1]
    for ray in prange(weights.shape[0]):
        behind = _ZERO  # sum of grad * weight over the intervals behind: each loses what this one takes
        for back in range(samples):
            i = samples - 1 - back
            grad_thickness = grad_weights[ray, i] * passed[ray, i] - behind
            behind += grad_weights[ray, i] * weights[ray, i]
            exponent = min(max(raw[ray, i, 0], -_EXPONENT_LIMIT), _EXPONENT_LIMIT)
            slope = scale * np.float32(math.exp(exponent)) * (edges[ray, i + 1] - edges[ray, i])
            gradient = grad_thickness * slope
            for column in range(1, grad_raw.shape[2]):
                grad_raw[ray, i, column] = _ZERO
            grad_raw[ray, i, 0] = _ZERO if math.isnan(gradient) else gradient


@njit(**_KERNEL)
def resample(bins, weights, anneal, padding, shift, near, far, new_bins, new_edges):  # type: ignore[no-untyped-def]
    """sampling.resample: bins [rays, n + 1], weights [rays, n], shift [rays, 1] -> new_bins, new_edges [rays, count].

    near, far [rays, 1]: in normalised spacing.
    """
    intervals = weights.shape[1]
    count = new_bins.shape[1]
    step = _ONE / np.float32(count)
    for ray in prange(weights.shape[0]):
        cdf = np.empty(intervals + 1, np.float32)
        total = _ZERO
        for i in range(intervals):
            weight = weights[ray, i]
            cdf[i + 1] = (weight if anneal == _ONE else np.float32(math.pow(weight, anneal))) + padding
            total += cdf[i + 1]
        cdf[0] = _ZERO
        share = _ONE / total
        for i in range(intervals):
            cdf[i + 1] = min(cdf[i] + cdf[i + 1] * share, _ONE)
        above = 0
        start, stretch = near[ray, 0], far[ray, 0] - near[ray, 0]
        for k in range(count):
            u = (np.float32(k) + shift[ray, 0]) * step
            while above <= intervals and cdf[above] <= u:
                above += 1
            low, high = max(above - 1, 0), min(above, intervals)
            rise = cdf[high] - cdf[low]
            part = min(max((u - cdf[low]) / rise, _ZERO), _ONE) if rise > _ZERO else _ZERO
            border = bins[ray, low] + part * (bins[ray, high] - bins[ray, low])
            spaced = start + border * stretch
            new_bins[ray, k] = border
            new_edges[ray, k] = _TWO * spaced if spaced < _HALF else _ONE / (_TWO - _TWO * spaced)


@njit(**_KERNEL)
def interlevel(bins, weights, proposal_bins, proposed, losses, grad_proposed):  # type: ignore[no-untyped-def]
    """losses.interlevel_loss for one stage: -> losses [rays], sums over samples, and d losses / d proposed."""
    samples, intervals = weights.shape[1], proposed.shape[1]
    for ray in prange(weights.shape[0]):
        total = np.empty(intervals + 1, np.float32)
        change = np.zeros(intervals + 1, np.float32)
        total[0] = _ZERO
        for j in range(intervals):
            total[j + 1] = total[j] + proposed[ray, j]
        low = high = 0  # proposal intervals that begin, and that end, at or before the interval's begin and end
        loss = _ZERO
        for i in range(samples):
            while low < intervals and proposal_bins[ray, low] <= bins[ray, i]:
                low += 1
            while high < intervals and proposal_bins[ray, high + 1] <= bins[ray, i + 1]:
                high += 1
            first, last = max(low - 1, 0), min(high, intervals - 1)
            excess = weights[ray, i] - (total[last + 1] - total[first])
            if excess > _ZERO:
                relative = excess / (weights[ray, i] + _TINY)
                loss += excess * relative
                change[first] -= _TWO * relative
                change[last + 1] += _TWO * relative
        losses[ray] = loss
        gradient = _ZERO
        for j in range(intervals):
            gradient += change[j]
            grad_proposed[ray, j] = gradient


@njit(**_KERNEL)
def distortion(bins, weights, losses, grad_weights):  # type: ignore[no-untyped-def]
    """losses.distortion_loss: -> losses [rays], and d losses / d weights."""
    samples = weights.shape[1]
    for ray in prange(weights.shape[0]):
        weight_before = moment_before = loss = _ZERO
        for i in range(samples):
            weight = weights[ray, i]
            length = bins[ray, i + 1] - bins[ray, i]
            middle = _HALF * (bins[ray, i + 1] + bins[ray, i])
            apart = middle * weight_before - moment_before
            within = weight * length * _THIRD
            loss += weight * (_TWO * apart + within)
            grad_weights[ray, i] = _TWO * (apart + within)
            weight_before += weight
            moment_before += weight * middle
        weight_behind = moment_behind = _ZERO
        for back in range(samples):
            i = samples - 1 - back
            middle = _HALF * (bins[ray, i + 1] + bins[ray, i])
            grad_weights[ray, i] += _TWO * (moment_behind - middle * weight_behind)
            weight_behind += weights[ray, i]
            moment_behind += weights[ray, i] * middle
        losses[ray] = loss


@njit(**_KERNEL)
def colors_forward(weights, raw, colors, rendered):  # type: ignore[no-untyped-def]
    """rendering.render_colors: raw [rays, samples, 3] -> colors [rays, samples, 3] and rendered [rays, 3]."""
    samples = weights.shape[1]
    for ray in prange(weights.shape[0]):
        left = _ONE
        red = green = blue = _ZERO
        for i in range(samples):
            for channel in range(3):
                colors[ray, i, channel] = _ONE / (_ONE + np.float32(math.exp(-raw[ray, i, channel])))
            weight = weights[ray, i]
            left -= weight
            red += weight * colors[ray, i, 0]
            green += weight * colors[ray, i, 1]
            blue += weight * colors[ray, i, 2]
        rendered[ray, 0] = red + left * colors[ray, samples - 1, 0]
        rendered[ray, 1] = green + left * colors[ray, samples - 1, 1]
        rendered[ray, 2] = blue + left * colors[ray, samples - 1, 2]


@njit(**_KERNEL)
def colors_backward(weights, colors, grad_rendered, grad_weights, grad_raw):  # type: ignore[no-untyped-def]
    samples = weights.shape[1]
    for ray in prange(weights.shape[0]):
        left = _ONE
        for i in range(samples):
            weight = weights[ray, i]
            left -= weight
            share = weight + left if i == samples - 1 else weight
            gain = _ZERO
            for channel in range(3):
                color = colors[ray, i, channel]
                gain += grad_rendered[ray, channel] * (color - colors[ray, samples - 1, channel])
                grad_raw[ray, i, channel] = grad_rendered[ray, channel] * share * color * (_ONE - color)
            grad_weights[ray, i] = gain


@njit(**_KERNEL_OF_CHANNELS)
def hidden_forward(weights, hidden, rendered):  # type: ignore[no-untyped-def]
    """rendering.render_hidden: hidden [rays, samples, channels] -> rendered [rays, channels]."""
    for ray in prange(weights.shape[0]):
        rendered[ray] = _ZERO
        for i in range(weights.shape[1]):
            weight = weights[ray, i]
            for channel in range(hidden.shape[2]):
                rendered[ray, channel] += weight * max(hidden[ray, i, channel], _ZERO)


@njit(**_KERNEL_OF_CHANNELS)
def hidden_backward(weights, hidden, grad_rendered, grad_weights, grad_hidden):  # type: ignore[no-untyped-def]
    for ray in prange(weights.shape[0]):
        for i in range(weights.shape[1]):
            weight = weights[ray, i]
            gain = _ZERO
            for channel in range(hidden.shape[2]):
                value = hidden[ray, i, channel]
                upstream = grad_rendered[ray, channel] if value > _ZERO else _ZERO
                gain += upstream * value
                grad_hidden[ray, i, channel] = upstream * weight
            grad_weights[ray, i] = gain


@njit(**_KERNEL)
def positional_encoding(points, frequencies, out):  # type: ignore[no-untyped-def]
    """rendering.positional_encoding: points [points, 3] -> out [points, 6 * frequencies].

    From one band to the next by the double angle: sin 2a = 2 sin a cos a, cos 2a = 1 - 2 sin^2 a.
    """
    for point in prange(points.shape[0]):
        for axis in range(3):
            angle = points[point, axis] * np.float32(math.pi)
            sine, cosine = np.float32(math.sin(angle)), np.float32(math.cos(angle))
            for band in range(frequencies):
                out[point, axis * frequencies + band] = sine
                out[point, (3 + axis) * frequencies + band] = cosine
                sine, cosine = _TWO * sine * cosine, _ONE - _TWO * sine * sine
