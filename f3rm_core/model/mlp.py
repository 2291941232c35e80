"""Networks of 16 to 64 hidden units: in plain torch, and in chunks that stay in a core's cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK_NUMBERS = 1 << 17  # of one layer's output: half a MiB, so that a few fit into a second-level cache


def mlp(
    inputs: Sequence[Tensor],  # each [points, its width]
    firsts: Sequence[Tensor],  # of each input, its columns of the first weight matrix, [hidden, its width]
    later: Sequence[Tensor],  # the other weight matrices, [fan out, fan in]
    of_ray: Tensor | None = None,  # [rays, hidden]
) -> Tensor:  # [points, output]
    """ReLU layers without biases and a linear last one.

    Args:
        inputs, firsts: an input in parts, which need not be put into one tensor.
        later: what follows the first layer.
        of_ray: added to the first layer's output of all the ray's points; points lie ray after ray.
    """
    parts = [one @ weight.T for one, weight in zip(inputs, firsts, strict=True)]
    hidden = sum(parts[1:], start=parts[0])
    if of_ray is not None:
        hidden = (hidden.view(len(of_ray), -1, of_ray.shape[-1]) + of_ray[:, None]).view(hidden.shape)
    for weight in later:
        hidden = torch.relu(hidden) @ weight.T
    return hidden


def encoded_mlp(
    network: Callable[..., Tensor],
    positional_encoding: Callable[[Tensor, int], Tensor],
    grid: Callable[[Tensor], Tensor],
    weights: Sequence[Tensor],  # each [fan out, fan in]
    points: Tensor,  # [points, 3] in the unit cube
    frequencies: int = 0,
) -> Tensor:  # [points, output]
    """Points through a hash grid, beside it a positional encoding, and what they give through ReLU layers.

    Args:
        network, positional_encoding: how to compute them, as `mlp` and as `position_encoding.positional_encoding`.
        grid: the hash grid encoding.
        weights: of all layers; the first one's columns are the grid's features, then the positional encoding's.
        frequencies: bands of the positional encoding; 0 for none.
    """
    encoded = [grid(points)]
    if frequencies:
        encoded.append(positional_encoding(points, frequencies))
    firsts = weights[0].split([one.shape[-1] for one in encoded], -1)
    return network(encoded, firsts, weights[1:])


def chunked_mlp(
    inputs: Sequence[Tensor], firsts: Sequence[Tensor], later: Sequence[Tensor], of_ray: Tensor | None = None
) -> Tensor:
    """See `mlp`. Each chunk goes through all layers before the next one, forward and backward."""
    out: Tensor = _ChunkedMLP.apply(torch.is_grad_enabled(), len(inputs), of_ray, *inputs, *firsts, *later)
    return out


class _ChunkedMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keep: bool, parts: int, of_ray: Tensor | None, *tensors: Tensor) -> Tensor:
        inputs, firsts, later = tensors[:parts], tensors[parts : 2 * parts], tensors[2 * parts :]
        points = inputs[0].shape[0]
        chunks = _chunks(points, firsts[0].shape[0], of_ray)
        widths = [firsts[0].shape[0], *(weight.shape[0] for weight in later)]
        # Without a backward pass, all chunks share the memory of the largest.
        held = points if keep else max((chunk.stop - chunk.start for chunk in chunks), default=0)
        hidden = [inputs[0].new_empty(held, width) for width in widths[:-1]]
        out = inputs[0].new_empty(points, widths[-1])
        for chunk in chunks:
            place = chunk if keep else slice(0, chunk.stop - chunk.start)
            layers = [*(one[place] for one in hidden), out[chunk]]
            torch.mm(inputs[0][chunk], firsts[0].T, out=layers[0])
            for one, weight in zip(inputs[1:], firsts[1:], strict=True):
                layers[0].addmm_(one[chunk], weight.T)
            if of_ray is not None:
                rays = _rays(chunk, points, of_ray)
                layers[0].view(rays.stop - rays.start, -1, widths[0]).add_(of_ray[rays, None])
            for weight, before, after in zip(later, layers, layers[1:], strict=False):
                torch.mm(before.relu_(), weight.T, out=after)
        ctx.parts, ctx.chunks = parts, chunks
        ctx.save_for_backward(of_ray, *tensors, *hidden)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        of_ray, *tensors = ctx.saved_tensors
        parts, layers = ctx.parts, (len(tensors) - 2 * ctx.parts) // 2
        inputs, firsts = tensors[:parts], tensors[parts : 2 * parts]
        later, hidden = tensors[2 * parts : 2 * parts + layers], tensors[2 * parts + layers :]
        grad_weights = [torch.zeros_like(weight) for weight in (*firsts, *later)]
        wanted = ctx.needs_input_grad[3 : 3 + parts]
        grad_inputs = [torch.empty_like(one) if want else None for one, want in zip(inputs, wanted, strict=True)]
        grad_of_ray = None if of_ray is None else torch.empty_like(of_ray)
        for chunk in ctx.chunks:
            gradient = grad_out[chunk]
            for layer in reversed(range(layers)):
                rectified = hidden[layer][chunk]
                grad_weights[parts + layer].addmm_(gradient.T, rectified)
                gradient = gradient @ later[layer]
                torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=gradient)
            if grad_of_ray is not None:
                rays = _rays(chunk, grad_out.shape[0], grad_of_ray)
                torch.sum(gradient.view(rays.stop - rays.start, -1, gradient.shape[-1]), 1, out=grad_of_ray[rays])
            for part in range(parts):
                grad_weights[part].addmm_(gradient.T, inputs[part][chunk])
                grad_input = grad_inputs[part]
                if grad_input is not None:
                    torch.mm(gradient, firsts[part], out=grad_input[chunk])
        return None, None, grad_of_ray, *grad_inputs, *grad_weights


def _chunks(points: int, width: int, of_ray: Tensor | None) -> list[slice]:
    """Consecutive pieces of the points; whole rays, where there are rays."""
    unit = 1 if of_ray is None else points // max(1, len(of_ray))
    size = max(1, _CHUNK_NUMBERS // max(1, width * unit)) * max(1, unit)
    return [slice(start, min(start + size, points)) for start in range(0, points, size)]


def _rays(chunk: slice, points: int, of_ray: Tensor) -> slice:
    samples = points // len(of_ray)
    return slice(chunk.start // samples, chunk.stop // samples)
