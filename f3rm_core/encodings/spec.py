"""Level sizes of a multiresolution hash grid. Plain values, no torch: checks and estimates stay cheap.

Source: tiny-cuda-nn, include/tiny-cuda-nn/encodings/grid.h (level sizes) and common_device.h (scale, resolution);
Müller et al. 2022, "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding", section 3.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from functools import cached_property

from f3rm_core.errors import InvalidParameter

MAX_LEVELS = 128
"""tiny-cuda-nn's own limit."""
MAX_RESOLUTION = 2**22
"""Finer cells hold fewer than four of the float32 numbers next to 1: positions could not tell them apart."""
FEATURES_PER_LEVEL = (1, 8)
LOG2_HASHMAP_SIZE = (10, 24)
TCNN_FEATURES_PER_LEVEL = (1, 2, 4, 8)
"""What tiny-cuda-nn is compiled for."""

_DOCUMENTED_NAMES = {"feat_base_res": "feat_start_res"}


@dataclass(frozen=True)
class Level:
    """One level of the grid.

    Attributes:
        scale: cells along the unit interval; a position x lies at x * scale + 0.5 (a float32 number).
        resolution: grid vertices along an axis.
        size: entries in the level's table.
        dense: every vertex has its own entry, at x + y * resolution + z * resolution^2; if not, the index is hashed.
        offset: entries of all levels before this one.
    """

    scale: float
    resolution: int
    size: int
    dense: bool
    offset: int


@dataclass(frozen=True)
class GridSpec:
    """Shape of a hash grid over the unit cube, with tiny-cuda-nn's semantics.

    Args:
        num_levels: number of resolutions.
        base_res: vertices along an axis at the coarsest level.
        max_res: vertices along an axis at the finest level.
        log2_hashmap_size: log2 of the most entries that a level may have.
        features_per_level: numbers stored in an entry.
        prefix: of the documented parameter names, for messages: "" names max_res, "feat_" names feat_max_res.

    Raises:
        InvalidParameter: a value that can't work, by its documented name.
    """

    num_levels: int
    base_res: int
    max_res: int
    log2_hashmap_size: int
    features_per_level: int
    prefix: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        self._require("num_levels", 1, MAX_LEVELS)
        self._require("base_res", 1, MAX_RESOLUTION)
        self._require("max_res", 1, MAX_RESOLUTION)
        self._require("log2_hashmap_size", *LOG2_HASHMAP_SIZE)
        self._require("features_per_level", *FEATURES_PER_LEVEL)
        if self.max_res < self.base_res:
            remedy = f"must be at least {self.documented('base_res')} ({self.base_res})"
            raise InvalidParameter(self.documented("max_res"), self.max_res, remedy)

    @property
    def growth(self) -> float:
        """Factor from one level's resolution to the next; 1 for a single level."""
        if self.num_levels == 1:
            return 1.0
        return math.exp((math.log(self.max_res) - math.log(self.base_res)) / (self.num_levels - 1))

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Coarsest first."""
        # tiny-cuda-nn works these out in float32, and where a scale comes out a hair above a whole number the level
        # has one vertex more. Rounding every operation in the same way gives the same tables on every machine.
        log2_growth = _float32(math.log2(_float32(self.growth)))
        levels: list[Level] = []
        offset = 0
        for number in range(self.num_levels):
            factor = _float32(2.0 ** _float32(number * log2_growth))
            scale = _float32(_float32(factor * self.base_res) - 1.0)
            resolution = math.ceil(scale) + 1
            vertices = resolution**3
            dense = vertices <= 2**self.log2_hashmap_size
            size = min(-(-vertices // 8) * 8, 2**self.log2_hashmap_size)
            levels.append(Level(scale, resolution, size, dense, offset))
            offset += size
        return tuple(levels)

    @property
    def num_entries(self) -> int:
        """Entries of all levels together; each has features_per_level parameters."""
        last = self.levels[-1]
        return last.offset + last.size

    @property
    def num_parameters(self) -> int:
        return self.num_entries * self.features_per_level

    @property
    def output_dim(self) -> int:
        return self.num_levels * self.features_per_level

    def documented(self, name: str) -> str:
        """The documented parameter name of one of this class's arguments."""
        return _DOCUMENTED_NAMES.get(self.prefix + name, self.prefix + name)

    def _require(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidParameter(self.documented(name), value, f"must be a whole number from {low} to {high}")
        if not low <= value <= high:
            raise InvalidParameter(self.documented(name), value, f"must be from {low} to {high}")


def require_tcnn_features(**features_per_level: int) -> None:
    """Check what tiny-cuda-nn asks for beyond `GridSpec`: no need of a GPU, nor of tinycudann.

    Args:
        features_per_level: by documented parameter name.

    Raises:
        InvalidParameter: a number that tiny-cuda-nn does not have.
    """
    for name, value in features_per_level.items():
        if value not in TCNN_FEATURES_PER_LEVEL:
            remedy = "tiny-cuda-nn has 1, 2, 4 and 8: take one of these, or encoding_backend reference"
            raise InvalidParameter(name, value, remedy)


def _float32(value: float) -> float:
    """The float32 number nearest to value."""
    return float(struct.unpack("f", struct.pack("f", value))[0])
