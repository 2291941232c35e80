"""Predicted memory against a limit: what is refused, and what is said to help."""

from __future__ import annotations

from typing import Any

import pytest

from f3rm_core import SceneSize, UsageError
from sweeps.spec.memory import memory_finding, memory_of, predicted_memory_gb
from sweeps.spec.presets import load_preset, overlay

DEFAULTS = load_preset("f3rm_default").resolved
SCENE = SceneSize(192, 144, 64, 8)
PLACE: dict[str, Any] = {"backend": "tcnn", "device": "cuda"}


def peak_gb(**changes: Any) -> float:
    return predicted_memory_gb(overlay(DEFAULTS, changes), SCENE, **PLACE)


def test_the_limit_itself_is_kept() -> None:
    peak = peak_gb()
    assert memory_finding(DEFAULTS, SCENE, peak, **PLACE) is None
    found = memory_finding(DEFAULTS, SCENE, 0.999 * peak, **PLACE)
    assert found is not None
    assert (found.rule, found.severity, found.refuses) == ("memory-limit", "error", True)


def test_the_remedy_gets_under_the_limit() -> None:
    limit = 0.7 * peak_gb()
    found = memory_finding(DEFAULTS, SCENE, limit, **PLACE)
    assert found is not None
    (name,) = found.parameters
    assert found.parameters[name] == DEFAULTS[name]
    assert "(not measured)" in found.message
    assert found.remedy.startswith(f"{name}=")
    value = int(found.remedy.split("=")[1].split(" ")[0])
    assert peak_gb(**{name: value}) <= limit


def test_large_tables_are_lowered_and_not_the_rays() -> None:
    found = memory_finding(overlay(DEFAULTS, {"log2_hashmap_size": 24}), SCENE, 4.0, **PLACE)
    assert found is not None
    assert list(found.parameters) == ["log2_hashmap_size"]
    assert "optimizer takes most" in found.message


def test_a_limit_that_nothing_alone_reaches_says_so() -> None:
    found = memory_finding(DEFAULTS, SCENE, 0.01, **PLACE)
    assert found is not None
    assert "still over the limit" in found.remedy


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match=r"gpu_memory_gb=.*: give the memory of one GPU in GB, above 0"):
        memory_finding(DEFAULTS, SCENE, limit)


def test_of_several_the_largest_and_the_share_over() -> None:
    rays = [1024, 2048, 4096, 16384]
    several = [overlay(DEFAULTS, {"train_num_rays_per_batch": count}) for count in rays]
    limit = peak_gb(train_num_rays_per_batch=8192)
    memory = memory_of(several, SCENE, limit)
    assert memory is not None
    assert memory.largest.total_bytes / 1e9 == peak_gb(train_num_rays_per_batch=16384)
    assert memory.share_over == 0.25
    assert memory.finding is not None
    assert memory.finding.share == 0.25


def test_a_feature_model_that_nobody_knows_is_not_predicted() -> None:
    assert memory_of([{**DEFAULTS, "clip_model": "ViT-nope"}], SCENE, None) is None
