"""The three fields: radiance, features, and the small densities that propose where to look."""

from __future__ import annotations

from math import pi

import torch
from nerfstudio.field_components.activations import trunc_exp
from nerfstudio.utils.math import components_from_spherical_harmonics
from torch import Tensor, nn

from f3rm_core.encodings.base import GridSpec, build_grid

GEOMETRY_FEATURES = 15
"""Numbers that the geometry MLP hands on to the colour MLP, as in nerfacto."""
DIRECTION_LEVELS = 4


class MLP(nn.Sequential):
    """ReLU layers without biases and a linear last layer: tiny-cuda-nn's network, so that parameters carry over.

    Args:
        widths: input, hidden ones, output.
    """

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(widths, widths[1:], strict=False):
            linear = nn.Linear(fan_in, fan_out, bias=False)
            nn.init.xavier_uniform_(linear.weight)
            layers += [linear, nn.ReLU()]
        super().__init__(*layers[:-1])

    def after_first(self, hidden: Tensor) -> Tensor:  # [..., first width] -> [..., output]
        """What follows the first weight matrix."""
        for layer in list(self)[1:]:
            hidden = layer(hidden)
        return hidden


class DensityField(nn.Module):
    """A small grid and MLP that give density only: a proposal network."""

    def __init__(self, spec: GridSpec, hidden_dim: int, *, backend: str, average_init_density: float) -> None:
        super().__init__()
        self.grid = build_grid(spec, backend)
        self.mlp = MLP(spec.output_dim, hidden_dim, 1)
        self.average_init_density = average_init_density

    def forward(
        self,
        positions: Tensor,  # [rays, samples, 3] in the unit cube
    ) -> Tensor:  # [rays, samples]
        raw = self.mlp(self.grid(positions.reshape(-1, 3)))
        return self.average_init_density * trunc_exp(raw).view(positions.shape[:-1])


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
        average_init_density: float,
        backend: str,
    ) -> None:
        super().__init__()
        self.grid = build_grid(spec, backend)
        self.geometry = MLP(spec.output_dim, *[hidden_dim] * (num_layers - 1), 1 + GEOMETRY_FEATURES)
        self.appearance = nn.Embedding(num_images, appearance_embed_dim) if appearance_embed_dim else None
        of_ray = DIRECTION_LEVELS**2 + appearance_embed_dim
        self.color = MLP(of_ray + GEOMETRY_FEATURES, *[hidden_dim_color] * (num_layers_color - 1), 3)
        self.average_init_density = average_init_density

    def density(
        self,
        positions: Tensor,  # [rays, samples, 3] in the unit cube
    ) -> tuple[Tensor, Tensor]:  # [rays, samples], [rays, samples, GEOMETRY_FEATURES]
        out = self.geometry(self.grid(positions.reshape(-1, 3))).view(*positions.shape[:-1], -1)
        return self.average_init_density * trunc_exp(out[..., 0]), out[..., 1:]

    def rgb(
        self,
        directions: Tensor,  # [rays, 3], unit length
        geometry: Tensor,  # [rays, samples, GEOMETRY_FEATURES]
        images: Tensor | None,  # [rays], index of each ray's image; None: the mean embedding
    ) -> Tensor:  # [rays, samples, 3] in [0, 1]
        of_ray = components_from_spherical_harmonics(DIRECTION_LEVELS, directions)
        if self.appearance is not None:
            mean = self.appearance.weight.mean(0).expand(len(directions), -1)
            of_ray = torch.cat([of_ray, mean if images is None else self.appearance(images)], -1)
        # What is the same for all samples of a ray goes through its columns of the first layer once a ray.
        first = self.color[0].weight
        hidden = geometry @ first[:, of_ray.shape[-1] :].T + (of_ray @ first[:, : of_ray.shape[-1]].T)[:, None]
        return torch.sigmoid(self.color.after_first(hidden))


class FeatureField(nn.Module):
    """Features of a foundation model: hash grid and positional encoding, MLP, and a head that runs after rendering.

    The head is linear and has no bias, and rendering is a weighted sum, so projecting the rendered hidden features
    equals rendering the projected ones, with the work of one sample a ray.

    Args:
        spec: the hash grid.
        channels: of the features.
        hidden_dim, num_layers: width and number of hidden layers.
        frequencies: bands of the positional encoding; 0 for none.
    """

    def __init__(
        self, spec: GridSpec, *, channels: int, hidden_dim: int, num_layers: int, frequencies: int, backend: str
    ) -> None:
        super().__init__()
        self.grid = build_grid(spec, backend)
        self.frequencies = frequencies
        width = spec.output_dim + 6 * frequencies
        self.hidden = nn.Sequential(MLP(width, *[hidden_dim] * num_layers), nn.ReLU())
        self.head = MLP(hidden_dim, channels)

    def forward(
        self,
        positions: Tensor,  # [rays, samples, 3] in the unit cube
        weights: Tensor,  # [rays, samples]
    ) -> Tensor:  # [rays, channels]
        points = positions.reshape(-1, 3)
        encoded = self.grid(points)
        if self.frequencies:
            encoded = torch.cat([encoded, positional_encoding(points, self.frequencies)], -1)
        hidden = self.hidden(encoded).view(*weights.shape, -1)
        return self.head(torch.bmm(weights[:, None], hidden)[:, 0])


def positional_encoding(positions: Tensor, frequencies: int) -> Tensor:  # [points, 3] -> [points, 6 * frequencies]
    """sin and cos of 2^k pi x for k below frequencies. Source: Mildenhall et al. 2020, eq. 4."""
    bands = 2.0 ** torch.arange(frequencies, device=positions.device, dtype=positions.dtype) * pi
    angles = (positions[:, :, None] * bands).flatten(1)
    return torch.cat([torch.sin(angles), torch.cos(angles)], -1)
