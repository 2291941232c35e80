"""A stand-in for tinycudann on machines without a GPU: in plain torch, from tiny-cuda-nn's flat parameters.

Written from tiny-cuda-nn's C++ (grid.h, frequency.h, composite.h, network_with_input_encoding.h, cutlass_mlp.cu,
fully_fused_mlp.cu, common_device.h) and from nothing of ours, so that a mistake in our layout shows as wrong values.
It refuses what the original refuses, and what the original would read wrongly: gradients that are not contiguous.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

GRANULARITY = 256
preferred = torch.float16
"""Precision of networks, and of encodings that don't ask for one: float32 in builds for some old GPUs."""


class Module(nn.Module):
    n_output_dims: int

    def __init__(self, seed: int = 1337) -> None:
        super().__init__()
        self.native_tcnn_module = self._native_tcnn_module()
        generator = torch.Generator().manual_seed(seed)
        self.params = nn.Parameter(torch.rand(self.native_tcnn_module.n_params, generator=generator))
        self.dtype = self.native_tcnn_module.dtype

    def _native_tcnn_module(self) -> Any:
        raise AssertionError

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, [0, 0, 0, -len(x) % GRANULARITY])
        params = self.params.to(self.dtype).contiguous()
        with torch.autocast("cpu", enabled=False):
            out = self.native_tcnn_module(padded.to(torch.float).contiguous(), params)
        return _Contiguous.apply(out)[: len(x), : self.n_output_dims]

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["native_tcnn_module"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.native_tcnn_module = self._native_tcnn_module()


class Encoding(Module):
    def __init__(self, n_input_dims: int, encoding_config: dict[str, Any], seed: int = 1337, dtype: Any = None) -> None:
        self.n_input_dims, self.encoding_config = n_input_dims, encoding_config
        self.requested = dtype or preferred
        super().__init__(seed)
        self.n_output_dims = self.native_tcnn_module.width

    def _native_tcnn_module(self) -> Any:
        return _Native(_encoding(self.n_input_dims, self.encoding_config), None, self.requested)


class NetworkWithInputEncoding(Module):
    def __init__(
        self,
        n_input_dims: int,
        n_output_dims: int,
        encoding_config: dict[str, Any],
        network_config: dict[str, Any],
        seed: int = 1337,
    ) -> None:
        self.n_input_dims, self.n_output_dims = n_input_dims, n_output_dims
        self.encoding_config, self.network_config = encoding_config, network_config
        super().__init__(seed)

    def _native_tcnn_module(self) -> Any:
        encoding = _encoding(self.n_input_dims, self.encoding_config)
        encoding.pad_to(_multiple(encoding.width, 16))
        network = _Network(encoding.width, self.n_output_dims, self.network_config)
        return _Native(encoding, network, preferred)


class _Native:
    def __init__(self, encoding: Any, network: _Network | None, dtype: torch.dtype) -> None:
        self.encoding, self.network, self.dtype = encoding, network, dtype
        self.n_params = encoding.n_params + (network.n_params if network else 0)
        self.width = network.width if network else encoding.width

    def __call__(self, x: Tensor, params: Tensor) -> Tensor:
        check(params.shape == (self.n_params,) and params.dtype == self.dtype, "params")
        check(x.is_contiguous() and params.is_contiguous(), "contiguous")
        check(x.shape[1] == self.encoding.inputs, "inputs")
        check(len(x) > 0, "status failed with error Error Internal")
        values = params.float()
        split = self.network.n_params if self.network else 0
        # Between encoding and network, values have the network's precision.
        encoded = self.encoding(x, values[split:]).to(self.dtype)
        return encoded if self.network is None else self.network(encoded.float(), values[:split]).to(self.dtype)


class _Grid:
    def __init__(self, inputs: int, config: dict[str, Any]) -> None:
        check(inputs == 3, "number of input dims must be 2, 3 or 4")
        check(config.get("hash", "CoherentPrime") == "CoherentPrime", "hash")
        check(config.get("interpolation", "Linear") == "Linear", "interpolation")
        self.inputs, self.features, self.padding = 3, config["n_features_per_level"], 0
        check(self.features in (1, 2, 4, 8), "n_features_per_level must be 1, 2, 4, or 8.")
        self.levels = level_table(
            config["n_levels"], config["log2_hashmap_size"], config["base_resolution"], config["per_level_scale"]
        )
        self.n_params = sum(size for _, _, size in self.levels) * self.features

    @property
    def width(self) -> int:
        return len(self.levels) * self.features + self.padding

    def pad_to(self, width: int) -> None:
        self.padding += width - self.width

    def __call__(self, x: Tensor, params: Tensor) -> Tensor:
        out, offset = [], 0
        for scale, resolution, size in self.levels:
            table = params[offset * self.features : (offset + size) * self.features].view(size, self.features)
            out.append(_level(x, table, scale, resolution))
            offset += size
        return torch.cat([*out, x.new_zeros(len(x), self.padding)], 1)


def level_table(n_levels: int, log2_hashmap_size: int, base: int, growth: float) -> list[tuple[float, int, int]]:
    """Scale, resolution and entries of each level, in the float32 and uint32 arithmetic of the C++."""
    # exp2f and log2f round to nearest; NumPy's float32 versions are off by a bit here and there.
    log2_growth = np.float32(math.log2(np.float32(growth)))
    table = []
    for level in range(n_levels):
        factor = np.float32(math.exp2(np.float32(level) * log2_growth))
        scale = factor * np.float32(base) - np.float32(1)
        resolution = int(np.ceil(scale)) + 1
        largest = (2**32 - 1) // 2
        entries = largest if float(resolution) ** 3 > largest else resolution**3
        table.append((float(scale), resolution, min(_multiple(entries, 8), 1 << log2_hashmap_size)))
    return table


def _level(x: Tensor, table: Tensor, scale: float, resolution: int) -> Tensor:
    at = (x.double() * scale + 0.5).float()  # fmaf
    floor = at.detach().floor()
    part = at - floor
    cell = floor.nan_to_num(0.0).clamp(-(2.0**31), 2.0**31 - 128).long()
    size = len(table)
    out = torch.zeros(len(x), table.shape[1])
    for corner in range(8):
        weight = torch.ones(len(x))
        places = []
        for dim in range(3):
            upper = bool(corner & (1 << dim))
            weight = weight * (part[:, dim] if upper else 1 - part[:, dim])
            places.append((cell[:, dim] + int(upper)) % 2**32)
        index, stride = torch.zeros(len(x), dtype=torch.long), 1
        for dim in range(3):
            if stride > size:
                break
            index = (index + places[dim] * stride) % 2**32
            stride *= resolution
        if size < stride:
            index = places[0] ^ (places[1] * 2654435761 % 2**32) ^ (places[2] * 805459861 % 2**32)
        out = out + weight[:, None] * table[index % size]
    return out


class _Frequency:
    n_params = 0

    def __init__(self, inputs: int, config: dict[str, Any]) -> None:
        self.inputs, self.bands, self.padding = inputs, config["n_frequencies"], 0

    @property
    def width(self) -> int:
        return self.inputs * self.bands * 2 + self.padding

    def pad_to(self, width: int) -> None:
        self.padding += width - self.width

    def __call__(self, x: Tensor, params: Tensor) -> Tensor:
        columns = []
        for j in range(self.inputs * self.bands * 2):
            band = (j // 2) % self.bands
            columns.append(torch.sin(x[:, j // (2 * self.bands)] * 2.0**band * math.pi + (j % 2) * math.pi / 2))
        return torch.cat([torch.stack(columns, 1), x.new_ones(len(x), self.padding)], 1)


class _Composite:
    def __init__(self, inputs: int, config: dict[str, Any]) -> None:
        self.inputs = inputs
        self.nested = [_encoding(one["n_dims_to_encode"], one) for one in config["nested"]]
        check(sum(one.inputs for one in self.nested) <= inputs, "nested encodings must not encode more dims")
        self.n_params = sum(one.n_params for one in self.nested)

    @property
    def width(self) -> int:
        return sum(one.width for one in self.nested)

    def pad_to(self, width: int) -> None:
        self.nested[-1].pad_to(width - self.width + self.nested[-1].width)

    def __call__(self, x: Tensor, params: Tensor) -> Tensor:
        out, column, offset = [], 0, 0
        for one in self.nested:
            out.append(one(x[:, column : column + one.inputs], params[offset : offset + one.n_params]))
            column += one.inputs
            offset += one.n_params
        return torch.cat(out, 1)


class _Network:
    def __init__(self, inputs: int, outputs: int, config: dict[str, Any]) -> None:
        check(config["activation"] == "ReLU" and config["output_activation"] == "None", "activation")
        neurons, hidden = config["n_neurons"], config["n_hidden_layers"]
        if config["otype"] == "FullyFusedMLP":
            check(neurons in (16, 32, 64, 128), "FullyFusedMLP only supports 16, 32, 64, and 128 neurons")
            check(hidden > 0, "FullyFusedMLP requires at least 1 hidden layer (3 layers in total).")
            check(2 * (neurons + 16) * (inputs + 8) <= 64 * 1024, "insufficient shared memory")
        else:
            check(config["otype"] == "CutlassMLP", "Invalid network type")
            check(hidden == 0 or neurons % 8 == 0, "Error Misaligned Operand")
        self.width = _multiple(outputs, 16)
        widths = [inputs, *[neurons] * hidden, self.width]
        self.shapes = [(fan_out, fan_in) for fan_in, fan_out in itertools.pairwise(widths)]
        self.n_params = sum(rows * columns for rows, columns in self.shapes)

    def __call__(self, x: Tensor, params: Tensor) -> Tensor:
        offset = 0
        for number, (rows, columns) in enumerate(self.shapes):
            matrix = params[offset : offset + rows * columns].view(rows, columns)  # row-major
            x = (x.relu() if number else x) @ matrix.T
            offset += rows * columns
        return x


class _Contiguous(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        check(gradient.is_contiguous(), "x.is_contiguous()")
        return gradient


def _encoding(inputs: int, config: dict[str, Any]) -> Any:
    kinds = {"HashGrid": _Grid, "Frequency": _Frequency, "Composite": _Composite}
    check(config["otype"] in kinds, f"Encoding '{config['otype']}' not found")
    return kinds[config["otype"]](inputs, config)


def _multiple(value: int, of: int) -> int:
    return -(-value // of) * of


def check(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(f"tinycudann: check failed {message}")
