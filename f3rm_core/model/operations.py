"""The steps of a rendering that differ by device: plain torch for any, compiled or cut into chunks for the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from f3rm_core.model import losses, mlp, position_encoding, rendering, sampling
from f3rm_core.model.sampling import Intervals, Spacing


@dataclass(frozen=True)
class Operations:
    """One implementation of each; the functions named in PLAIN say what they compute."""

    mlp: Callable[..., Tensor]
    encoded_mlp: Callable[..., Tensor]
    sample_positions: Callable[[Tensor, Tensor, Tensor], Tensor]
    positional_encoding: Callable[[Tensor, int], Tensor]
    weights_from_raw: Callable[[Tensor, Tensor, float], Tensor]
    resample: Callable[..., Intervals]
    render_colors: Callable[[Tensor, Tensor], Tensor]
    render_hidden: Callable[[Tensor, Tensor], Tensor]
    interlevel_loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    distortion_loss: Callable[[Tensor, Tensor], Tensor]

    def warm_up(self) -> None:
        """Run everything once, forward and backward: compile it, or load it from the disk's cache."""
        rays, samples = 2, 3
        spacing = Spacing(torch.full((rays, 1), 0.1), torch.full((rays, 1), 10.0))
        with torch.enable_grad():
            first = spacing.intervals(torch.linspace(0, 1, samples + 1).repeat(rays, 1))
            proposed = self.weights_from_raw(torch.zeros(rays, samples, 1, requires_grad=True), first.edges, 1.0)
            shift = torch.full((rays, 1), 0.5)
            last = self.resample(first, proposed.detach(), samples, anneal=0.5, shift=shift, spacing=spacing)
            points = self.sample_positions(torch.zeros(rays, 3), torch.ones(rays, 3), last.edges)
            hidden = self.positional_encoding(points.view(-1, 3), 1).view(rays, samples, 6).requires_grad_()
            weights = self.weights_from_raw(hidden, last.edges, 1.0)
            rendered = self.render_colors(weights, hidden[..., :3]).sum() + self.render_hidden(weights, hidden).sum()
            bounds = self.interlevel_loss(last.bins, weights.detach(), first.bins, proposed)
            (rendered + bounds + self.distortion_loss(last.bins, weights)).backward()


PLAIN = Operations(
    mlp=mlp.mlp,
    encoded_mlp=partial(mlp.encoded_mlp, mlp.mlp, position_encoding.positional_encoding),
    sample_positions=rendering.sample_positions,
    positional_encoding=position_encoding.positional_encoding,
    weights_from_raw=rendering.weights_from_raw,
    resample=sampling.resample,
    render_colors=rendering.render_colors,
    render_hidden=rendering.render_hidden,
    interlevel_loss=losses.interlevel_loss,
    distortion_loss=losses.distortion_loss,
)
"""The oracle, and what runs on CUDA, with a network of tiny-cuda-nn where that is to be had."""


def operations_for(backend: str) -> Operations:
    """The operations that go with a grid's backend: compiled ones with `numba`, plain ones else."""
    if backend == "tcnn":
        from f3rm_core.model import tcnn_network

        return replace(PLAIN, encoded_mlp=tcnn_network.encoded_mlp)
    if backend != "numba":
        return PLAIN
    from f3rm_core.model import fused

    return Operations(
        mlp=mlp.chunked_mlp,
        encoded_mlp=partial(mlp.encoded_mlp, mlp.chunked_mlp, fused.positional_encoding),
        sample_positions=fused.sample_positions,
        positional_encoding=fused.positional_encoding,
        weights_from_raw=fused.weights_from_raw,
        resample=fused.resample,
        render_colors=fused.render_colors,
        render_hidden=fused.render_hidden,
        interlevel_loss=fused.interlevel_loss,
        distortion_loss=fused.distortion_loss,
    )
