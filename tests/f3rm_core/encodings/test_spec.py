"""Level sizes against figures worked out by hand, and the messages for values that can't work."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from f3rm_core.encodings.spec import GridSpec
from f3rm_core.errors import InvalidParameter

FEATURE_GRID = GridSpec(12, 16, 128, 19, 8, prefix="feat_")
RADIANCE_GRID = GridSpec(16, 16, 2048, 19, 2)


def test_f3rm_feature_defaults_need_19_8_million_parameters() -> None:
    assert FEATURE_GRID.num_parameters == 19_849_216
    assert FEATURE_GRID.output_dim == 96


def test_doubling_resolutions() -> None:
    # growth 2: scales 3, 7, 15; resolutions 4, 8, 16; 64, 512 and 4096 vertices, of which 2^10 entries hold two levels.
    levels = GridSpec(3, 4, 16, 10, 2).levels
    assert [level.scale for level in levels] == [3.0, 7.0, 15.0]
    assert [level.resolution for level in levels] == [4, 8, 16]
    assert [level.size for level in levels] == [64, 512, 1024]
    assert [level.dense for level in levels] == [True, True, False]
    assert [level.offset for level in levels] == [0, 64, 576]
    assert GridSpec(3, 4, 16, 10, 2).num_entries == 1600


def test_sizes_are_rounded_up_to_a_multiple_of_eight() -> None:
    (level,) = GridSpec(1, 5, 5, 10, 1).levels
    assert level.resolution**3 == 125
    assert level.size == 128


@pytest.mark.parametrize(("log2_hashmap_size", "dense"), [(12, True), (11, False)])
def test_a_level_is_dense_while_its_vertices_fit(log2_hashmap_size: int, dense: bool) -> None:
    (level,) = GridSpec(1, 16, 16, log2_hashmap_size, 1).levels  # 4096 vertices
    assert level.dense is dense
    assert level.size == 2**log2_hashmap_size


def test_one_level_has_growth_one() -> None:
    spec = GridSpec(1, 16, 2048, 19, 2)
    assert spec.growth == 1.0
    assert spec.levels[0].resolution == 16


def test_growth_reaches_the_finest_resolution() -> None:
    assert RADIANCE_GRID.growth == pytest.approx(128 ** (1 / 15))
    assert RADIANCE_GRID.levels[-1].resolution == 2048


@pytest.mark.parametrize("spec", [RADIANCE_GRID, FEATURE_GRID, GridSpec(8, 16, 4096, 21, 4), GridSpec(5, 1, 7, 10, 1)])
def test_scales_are_worked_out_in_float32(spec: GridSpec) -> None:
    # The same steps as in tiny-cuda-nn, by numpy's float32. F3RM's own finest scale is 127.00004577, so that its
    # resolution is 129: exact arithmetic would say 128. Libraries differ in the last bit of exp2.
    log2_growth = np.log2(np.float32(spec.growth))
    for number, level in enumerate(spec.levels):
        scale = np.exp2(np.float32(number) * log2_growth) * np.float32(spec.base_res) - np.float32(1)
        assert level.scale == pytest.approx(float(scale), rel=3e-7, abs=1e-7)
        assert level.scale == float(np.float32(level.scale))
        assert level.resolution == math.ceil(level.scale) + 1
    assert FEATURE_GRID.levels[-1].resolution == 129


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_levels": 0}, "num_levels=0: must be from 1 to 128"),
        ({"num_levels": 129}, "num_levels=129: must be from 1 to 128"),
        ({"base_res": 0}, "base_res=0: must be from 1 to 4194304"),
        ({"max_res": 12}, "max_res=12: must be at least base_res (16)"),
        ({"max_res": 2**23}, "max_res=8388608: must be from 1 to 4194304"),
        ({"log2_hashmap_size": 9}, "log2_hashmap_size=9: must be from 10 to 24"),
        ({"log2_hashmap_size": 30}, "log2_hashmap_size=30: must be from 10 to 24"),
        ({"features_per_level": 0}, "features_per_level=0: must be from 1 to 8"),
        ({"features_per_level": 9}, "features_per_level=9: must be from 1 to 8"),
        ({"num_levels": 4.0}, "num_levels=4.0: must be a whole number from 1 to 128"),
        ({"features_per_level": True}, "features_per_level=True: must be a whole number from 1 to 8"),
        ({"base_res": "16"}, "base_res='16': must be a whole number from 1 to 4194304"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(changed: dict[str, int], message: str) -> None:
    values = {
        "num_levels": 16,
        "base_res": 16,
        "max_res": 2048,
        "log2_hashmap_size": 19,
        "features_per_level": 2,
    }
    with pytest.raises(InvalidParameter) as caught:
        GridSpec(**(values | changed))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((12, 16, 8, 19, 8), "feat_max_res=8: must be at least feat_start_res (16)"),
        ((12, 0, 128, 19, 8), "feat_start_res=0: must be from 1 to 4194304"),
        ((12, 16, 128, 30, 8), "feat_log2_hashmap_size=30: must be from 10 to 24"),
        ((12, 16, 128, 19, 16), "feat_features_per_level=16: must be from 1 to 8"),
        ((0, 16, 128, 19, 8), "feat_num_levels=0: must be from 1 to 128"),
    ],
)
def test_messages_use_the_feature_grids_documented_names(values: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        GridSpec(*values, prefix="feat_")
    assert str(caught.value) == message


def test_the_prefix_does_not_tell_grids_apart() -> None:
    assert GridSpec(12, 16, 128, 19, 8) == FEATURE_GRID


def test_level_sizes_come_without_torch() -> None:
    code = "import sys, f3rm_core.encodings.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
