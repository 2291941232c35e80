"""The three fields: radiance, features, and the small densities that propose where to look."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from nerfstudio.utils.math import components_from_spherical_harmonics
from torch import Tensor, nn

from f3rm_core.encodings.base import GridSpec, build_grid
from f3rm_core.model.operations import Operations

GEOMETRY_FEATURES = 15
"""Numbers that the geometry MLP hands on to the colour MLP, as in nerfacto."""
DIRECTION_LEVELS = 4


class MLP(nn.Sequential):
    """ReLU layers without biases and a linear last layer: tiny-cuda-nn's network, so that parameters carry over.

    Args:
        widths: input, hidden ones, output.
        operations: what computes it.
    """

    def __init__(self, *widths: int, operations: Operations) -> None:
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(widths):
            linear = nn.Linear(fan_in, fan_out, bias=False)
            nn.init.xavier_uniform_(linear.weight)
            layers += [linear, nn.ReLU()]
        super().__init__(*layers[:-1])
        self.operations = operations

    @property
    def first(self) -> Tensor:  # [hidden, input]
        """The first layer's weights."""
        weight: Tensor = self.get_parameter("0.weight")
        return weight

    @property
    def weights(self) -> list[Tensor]:  # each [fan out, fan in]
        """All layers' weights."""
        return [self.get_parameter(f"{number}.weight") for number in range(0, len(self), 2)]

    def forward(
        self,
        *inputs: Tensor,  # each [points, its width]
        firsts: Sequence[Tensor] | None = None,
        of_ray: Tensor | None = None,
    ) -> Tensor:  # [points, output]
        """See model.mlp; firsts: the first layer's weights in parts, one for each input, where there are several."""
        return self.operations.mlp(inputs, [self.first] if firsts is None else firsts, self.weights[1:], of_ray)


class DensityField(nn.Module):
    """A small grid and MLP that give density only: a proposal network."""

    def __init__(self, spec: GridSpec, hidden_dim: int, *, backend: str, operations: Operations) -> None:
        super().__init__()
        self.operations = operations
        self.grid = build_grid(spec, backend)
        self.mlp = MLP(spec.output_dim, hidden_dim, 1, operations=operations)

    def forward(
        self,
        positions: Tensor,  # [rays, samples, 3] in the unit cube
    ) -> Tensor:  # [rays, samples, 1], the logarithm of density up to a constant
        raw = self.operations.encoded_mlp(self.grid, self.mlp.weights, positions.reshape(-1, 3))
        return raw.view(*positions.shape[:-1], 1)


class RadianceField(nn.Module):
    """Density and colour, as in nerfacto: hash grid, geometry MLP, colour MLP with direction and image embedding.

    Args:
        spec: the hash grid.
        num_images: images trained on; each has an embedding.
        hidden_dim, num_layers: width and depth of the geometry MLP (depth counts weight matrices).
        hidden_dim_color, num_layers_color: the same of the colour MLP.
        appearance_embed_dim: width of an image's embedding; 0 for none.
    """

    def __init__(
        self,
        spec: GridSpec,
        *,
        num_images: int,
        hidden_dim: int,
        num_layers: int,
        hidden_dim_color: int,
        num_layers_color: int,
        appearance_embed_dim: int,
        backend: str,
        operations: Operations,
    ) -> None:
        super().__init__()
        self.operations = operations
        self.grid = build_grid(spec, backend)
        hidden = [hidden_dim] * (num_layers - 1)
        self.geometry = MLP(spec.output_dim, *hidden, 1 + GEOMETRY_FEATURES, operations=operations)
        self.appearance = nn.Embedding(num_images, appearance_embed_dim) if appearance_embed_dim else None
        of_ray = DIRECTION_LEVELS**2 + appearance_embed_dim
        hidden = [hidden_dim_color] * (num_layers_color - 1)
        self.color = MLP(of_ray + GEOMETRY_FEATURES, *hidden, 3, operations=operations)

    def forward(
        self,
        positions: Tensor,  # [rays, samples, 3] in the unit cube
    ) -> Tensor:  # [rays, samples, 1 + GEOMETRY_FEATURES], the logarithm of density up to a constant, and geometry
        raw = self.operations.encoded_mlp(self.grid, self.geometry.weights, positions.reshape(-1, 3))
        return raw.view(*positions.shape[:-1], -1)

    def raw_colors(
        self,
        directions: Tensor,  # [rays, 3], unit length
        raw: Tensor,  # [rays, samples, 1 + GEOMETRY_FEATURES], from `forward`
        images: Tensor | None,  # [rays], index of each ray's image; None: the mean embedding
    ) -> Tensor:  # [rays, samples, 3], before the sigmoid
        of_ray = components_from_spherical_harmonics(DIRECTION_LEVELS, directions)
        if self.appearance is not None:
            mean = self.appearance.weight.mean(0).expand(len(directions), -1)
            of_ray = torch.cat([of_ray, mean if images is None else self.appearance(images)], -1)
        # What is the same for all samples of a ray goes through its columns of the first layer once a ray.
        first, width = self.color.first, of_ray.shape[-1]
        # A zero column for the density: cheaper than cutting it out of every sample.
        of_sample = torch.cat([torch.zeros_like(first[:, :1]), first[:, width:]], -1)
        colors = self.color(raw.flatten(0, 1), firsts=[of_sample], of_ray=of_ray @ first[:, :width].T)
        return colors.view(*raw.shape[:2], 3)


class FeatureField(nn.Module):
    """Features of a foundation model: hash grid and positional encoding, MLP, and a head that runs after rendering.

    The head is linear and has no bias, and rendering is a weighted sum, so projecting the rendered hidden features
    equals rendering the projected ones, with the work of one sample a ray.

    Args:
        spec: the hash grid.
        channels: of the features.
        hidden_dim, num_layers: width and number of hidden layers.
        frequencies: bands of the positional encoding; 0 for none.
        operations: what runs along the rays.
    """

    def __init__(
        self,
        spec: GridSpec,
        *,
        channels: int,
        hidden_dim: int,
        num_layers: int,
        frequencies: int,
        backend: str,
        operations: Operations,
    ) -> None:
        super().__init__()
        self.grid = build_grid(spec, backend)
        self.frequencies = frequencies
        width = spec.output_dim + 6 * frequencies
        self.operations = operations
        self.hidden = MLP(width, *[hidden_dim] * num_layers, operations=operations)
        self.head = MLP(hidden_dim, channels, operations=operations)

    def forward(
        self,
        positions: Tensor,  # [rays, samples, 3] in the unit cube
        weights: Tensor,  # [rays, samples]
    ) -> Tensor:  # [rays, channels]
        points = positions.reshape(-1, 3)
        hidden = self.operations.encoded_mlp(self.grid, self.hidden.weights, points, self.frequencies)
        return self.head(self.operations.render_hidden(weights, hidden.view(*weights.shape, -1)))
