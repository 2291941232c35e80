"""Hash grids through tiny-cuda-nn. The one file that imports tinycudann, its PyTorch bindings.

Written against the source of tiny-cuda-nn 1.7 and 2.0: encodings/grid.h, src/cpp_api.cu, bindings/torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

from f3rm_core.encodings.base import GridEncoding
from f3rm_core.encodings.reference import encode
from f3rm_core.encodings.spec import GridSpec, require_tcnn_features
from f3rm_core.errors import InvalidParameter

NOT_INSTALLED = "is not installed"
_PROBES = 64
_PROBE_TOLERANCE = 0.1  # of the largest parameter: rounding stays far below, a table read in another way far above


@cache
def obstacle() -> str | None:
    """What keeps tinycudann from being used here, following its name; None: nothing. Looked at once a process."""
    try:
        import tinycudann  # noqa: F401
    except ModuleNotFoundError as error:
        return NOT_INSTALLED if error.name == "tinycudann" else f"can't be imported ({error})"
    except Exception as error:
        # Without a GPU, or built for another one, or against another torch: OSError, ImportError or NameError.
        return f"can't be imported ({' '.join(str(error).split())})"
    return None


def survive_broken_tinycudann() -> None:
    """Keep `import nerfstudio` from failing where tinycudann is installed but can't be imported.

    nerfstudio imports it too, and of what that can raise it expects an ImportError only.
    """
    if obstacle() not in {None, NOT_INSTALLED}:
        sys.modules["tinycudann"] = None  # type: ignore[assignment]  # its import then raises ModuleNotFoundError


class TcnnModule:
    """A module of tinycudann that is given its parameters at each call and keeps none.

    So there is one set of parameters, float32 and in our layout, whatever tinycudann computes in.

    Args:
        build: makes the module, from tinycudann.
    """

    def __init__(self, build: Callable[[Any], Any]) -> None:
        import tinycudann

        try:
            module = build(tinycudann)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate" in str(error):
                raise
            message = f"tinycudann can't do this ({' '.join(str(error).split())}); use encoding_backend reference"
            raise InvalidParameter("encoding_backend", "tcnn", message) from error
        self.num_parameters = module.params.numel()
        self.device_type = module.params.device.type
        self.dtype: torch.dtype = module.dtype
        module.params = nn.Parameter(torch.empty(0), requires_grad=False)
        self._module = module

    def __call__(
        self,
        inputs: Tensor,  # [points, inputs]; at least one point
        params: Tensor,  # [num_parameters]
        width: int,
    ) -> Tensor:  # [points, width], half precision or float32 as the module computes
        """Call it; tinycudann pads its output, `width` is what counts of it.

        Raises:
            InvalidParameter: the tensors are not on the GPU.
        """
        devices = {inputs.device.type, params.device.type}
        if devices != {self.device_type}:
            # Not every version of tinycudann looks before it reads.
            message = f"runs on {self.device_type} only, not on {' and '.join(sorted(devices - {self.device_type}))}"
            raise InvalidParameter("encoding_backend", "tcnn", f"{message}; use encoding_backend auto")
        out: Tensor = torch.func.functional_call(self._module, {"params": params}, (inputs,))[:, :width]
        if out.requires_grad:
            out.register_hook(Tensor.contiguous)  # tinycudann reads the gradient as if it were
        return out


class TcnnGridEncoding(GridEncoding):
    """CUDA: float32, and half precision under autocast (where the output is half precision, too).

    Where it differs from the other backends: under autocast tables and sums are half precision; gradients of the
    parameters are sums in no fixed order, so that the same run twice does not give the same bits. Positions outside
    the cube and those that are no numbers do as in the contract: tiny-cuda-nn wraps every index into its table.

    Raises:
        InvalidParameter: features_per_level that tiny-cuda-nn does not have; or its tables are not ours.
    """

    backend = "tcnn"

    def __init__(
        self,
        spec: GridSpec,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        require_tcnn_features(**{spec.documented("features_per_level"): spec.features_per_level})
        super().__init__(spec, device=device, generator=generator)
        self._single = self._build(torch.float32)
        self._checked = False

    def forward(self, positions: Tensor) -> Tensor:
        self.check_tables()
        native = self._half if torch.is_autocast_enabled(positions.device.type) else self._single
        if not len(positions):  # tinycudann has no kernel for no points
            return encode(positions, self.params, self.spec).to(native.dtype)
        return native(positions, self.params, self.output_dim)

    def check_tables(self) -> None:
        """Once, before the first use on the GPU: hold tiny-cuda-nn's values against the oracle's at a few points.

        Level sizes are worked out in float32, there on the GPU, and a level's layout hangs on the last bit: better to
        refuse at the start than to read a checkpoint's tables in a wrong way.

        Raises:
            InvalidParameter: they differ by more than rounding.
        """
        if self._checked or self.params.device.type != self._single.device_type:
            return
        points = torch.rand(_PROBES, 3, generator=torch.Generator().manual_seed(0)).to(self.params.device)
        with torch.no_grad(), torch.autocast(self.params.device.type, enabled=False):
            found = self._single(points, self.params, self.output_dim)
            difference = (found - encode(points, self.params, self.spec)).abs()
        largest = difference.view(_PROBES, self.spec.num_levels, -1).amax((0, 2))
        wrong = (largest > _PROBE_TOLERANCE * self.params.detach().abs().max()).nonzero().flatten().tolist()
        if wrong:
            levels = ", ".join(str(level) for level in wrong)
            message = (
                f"this tinycudann reads the tables of levels {levels} in another way; use encoding_backend reference"
            )
            raise InvalidParameter("encoding_backend", "tcnn", message)
        self._checked = True

    @cached_property
    def _half(self) -> TcnnModule:
        return self._build(None)  # what tiny-cuda-nn prefers: half precision, but for GPUs that are bad at it

    def _build(self, dtype: torch.dtype | None) -> TcnnModule:
        native = TcnnModule(lambda tinycudann: tinycudann.Encoding(3, grid_config(self.spec), dtype=dtype))
        if native.num_parameters != self.spec.num_parameters:
            message = (
                f"this tinycudann has {native.num_parameters} parameters for a grid of {self.spec.num_parameters} "
                f"({self.spec.documented('max_res')}={self.spec.max_res}); use encoding_backend reference"
            )
            raise InvalidParameter("encoding_backend", "tcnn", message)
        return native


def grid_config(spec: GridSpec) -> dict[str, Any]:
    """The grid in tiny-cuda-nn's words. It works out from these what `GridSpec.levels` holds, in the same way."""
    return {
        "otype": "HashGrid",
        "n_levels": spec.num_levels,
        "n_features_per_level": spec.features_per_level,
        "log2_hashmap_size": spec.log2_hashmap_size,
        "base_resolution": spec.base_res,
        "per_level_scale": spec.growth,
        "interpolation": "Linear",
        "hash": "CoherentPrime",
    }
