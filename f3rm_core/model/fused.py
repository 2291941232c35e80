"""The operations of `operations.PLAIN` as compiled kernels, for float32 on the CPU.

Each has its plain twin as oracle, and a test ties values and gradients of the two together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from f3rm_core.encodings.numba_cpu import launch
from f3rm_core.model import fused_kernels as kernels
from f3rm_core.model import position_encoding, rendering
from f3rm_core.model.sampling import HISTOGRAM_PADDING, Intervals, Spacing


def sample_positions(origins: Tensor, directions: Tensor, edges: Tensor) -> Tensor:
    """See rendering.sample_positions; rays that need gradients (camera poses) take that one."""
    if torch.is_grad_enabled() and (origins.requires_grad or directions.requires_grad):
        return rendering.sample_positions(origins, directions, edges)
    out = torch.empty(edges.shape[0], edges.shape[1] - 1, 3)
    launch(kernels.positions, _array(origins), _array(directions), _array(edges), out.numpy())
    return out


def positional_encoding(points: Tensor, frequencies: int) -> Tensor:
    """See position_encoding.positional_encoding; points that need gradients take that one."""
    if torch.is_grad_enabled() and points.requires_grad:
        return position_encoding.positional_encoding(points, frequencies)
    out = torch.empty(points.shape[0], 6 * frequencies)
    launch(kernels.positional_encoding, _array(points), frequencies, out.numpy())
    return out


def weights_from_raw(raw: Tensor, edges: Tensor, average_init_density: float) -> Tensor:
    """See rendering.weights_from_raw."""
    weights: Tensor = _WeightsFromRaw.apply(raw, edges, average_init_density)
    return weights


def resample(
    intervals: Intervals, weights: Tensor, samples: int, *, anneal: float, shift: Tensor, spacing: Spacing
) -> Intervals:
    """See sampling.resample."""
    bins, edges = torch.empty(len(weights), samples + 1), torch.empty(len(weights), samples + 1)
    launch(
        kernels.resample,
        _array(intervals.bins),
        _array(weights),
        np.float32(anneal),
        np.float32(HISTOGRAM_PADDING),
        _array(shift),
        _array(spacing.near),
        _array(spacing.far),
        bins.numpy(),
        edges.numpy(),
    )
    return Intervals(bins, edges)


def render_colors(weights: Tensor, raw: Tensor) -> Tensor:
    """See rendering.render_colors."""
    rendered: Tensor = _RenderColors.apply(weights, raw)
    return rendered


def render_hidden(weights: Tensor, hidden: Tensor) -> Tensor:
    """See rendering.render_hidden."""
    rendered: Tensor = _RenderHidden.apply(weights, hidden)
    return rendered


def interlevel_loss(bins: Tensor, weights: Tensor, proposal_bins: Tensor, proposed: Tensor) -> Tensor:
    """See losses.interlevel_loss."""
    losses: Tensor = _Interlevel.apply(bins, weights, proposal_bins, proposed)
    return losses.sum() / weights.numel()


def distortion_loss(bins: Tensor, weights: Tensor) -> Tensor:
    """See losses.distortion_loss."""
    losses: Tensor = _Distortion.apply(bins, weights)
    return losses.mean()


class _WeightsFromRaw(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor, edges: Tensor, average_init_density: float) -> Tensor:
        weights, passed = torch.empty(raw.shape[:2]), torch.empty(raw.shape[:2])
        ctx.scale = np.float32(average_init_density)
        launch(kernels.weights_forward, _array(raw), _array(edges), ctx.scale, weights.numpy(), passed.numpy())
        ctx.save_for_backward(raw, edges, weights, passed)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_weights: Tensor) -> tuple[Tensor, None, None]:
        raw, edges, weights, passed = ctx.saved_tensors
        grad_raw = torch.empty(raw.shape)
        launch(
            kernels.weights_backward,
            _array(raw),
            _array(edges),
            ctx.scale,
            _array(weights),
            _array(passed),
            _array(grad_weights),
            grad_raw.numpy(),
        )
        return grad_raw, None, None


class _RenderColors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, raw: Tensor) -> Tensor:
        colors, rendered = torch.empty(raw.shape), torch.empty(raw.shape[0], 3)
        launch(kernels.colors_forward, _array(weights), _array(raw), colors.numpy(), rendered.numpy())
        ctx.save_for_backward(weights, colors)
        return rendered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rendered: Tensor) -> tuple[Tensor, Tensor]:
        weights, colors = ctx.saved_tensors
        grad_weights, grad_raw = torch.empty(weights.shape), torch.empty(colors.shape)
        launch(
            kernels.colors_backward,
            _array(weights),
            _array(colors),
            _array(grad_rendered),
            grad_weights.numpy(),
            grad_raw.numpy(),
        )
        return grad_weights, grad_raw


class _RenderHidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, hidden: Tensor) -> Tensor:
        rendered = torch.empty(hidden.shape[0], hidden.shape[2])
        launch(kernels.hidden_forward, _array(weights), _array(hidden), rendered.numpy())
        ctx.save_for_backward(weights, hidden)
        return rendered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rendered: Tensor) -> tuple[Tensor, Tensor]:
        weights, hidden = ctx.saved_tensors
        grad_weights, grad_hidden = torch.empty(weights.shape), torch.empty(hidden.shape)
        launch(
            kernels.hidden_backward,
            _array(weights),
            _array(hidden),
            _array(grad_rendered),
            grad_weights.numpy(),
            grad_hidden.numpy(),
        )
        return grad_weights, grad_hidden


class _Interlevel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, bins: Tensor, weights: Tensor, proposal_bins: Tensor, proposed: Tensor) -> Tensor:  # [rays]
        losses, gradient = torch.empty(len(weights)), torch.empty(proposed.shape)
        launch(
            kernels.interlevel,
            _array(bins),
            _array(weights),
            _array(proposal_bins),
            _array(proposed),
            losses.numpy(),
            gradient.numpy(),
        )
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[None, None, None, Tensor]:
        (gradient,) = ctx.saved_tensors
        return None, None, None, gradient * grad_losses[:, None]


class _Distortion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, bins: Tensor, weights: Tensor) -> Tensor:  # [rays]
        losses, gradient = torch.empty(len(weights)), torch.empty(weights.shape)
        launch(kernels.distortion, _array(bins), _array(weights), losses.numpy(), gradient.numpy())
        ctx.save_for_backward(gradient)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[None, Tensor]:
        (gradient,) = ctx.saved_tensors
        return None, gradient * grad_losses[:, None]


def _array(tensor: Tensor) -> np.ndarray:
    """The tensor's memory; a copy only where it is not float32 or not contiguous."""
    array: np.ndarray = tensor.detach().float().contiguous().numpy()
    return array
