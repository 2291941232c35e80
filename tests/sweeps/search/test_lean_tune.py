"""Which free actors Ray Tune keeps."""

from __future__ import annotations

from typing import Any

import pytest
from ray.tune.execution import tune_controller
from ray.tune.utils.object_cache import _ObjectCache

from sweeps.search import lean_tune as module
from sweeps.search.lean_tune import lean_tune


def _kept(actors: int) -> list[int]:
    """Which of the actors that end together, with nothing staged, are there for the next trials."""
    cache: Any = tune_controller._ObjectCache(may_keep_one=True)
    kept = [actor for actor in range(actors) if cache.cache_object("2 CPUs", actor)]
    thrown_away = list(cache.flush_cached_objects())
    assert [cache.pop_cached_object("2 CPUs") for _ in kept] == kept
    assert cache.num_cached_objects == 0
    return [actor for actor in kept if actor not in thrown_away]


def test_all_actors_that_end_together_are_kept() -> None:
    assert _kept(3) == [0]  # as shipped: two processes would import torch again
    with lean_tune():
        assert _kept(3) == [0, 1, 2]
    assert tune_controller._ObjectCache is _ObjectCache


def test_all_are_ended_with_the_sweep() -> None:
    with lean_tune():
        cache: Any = tune_controller._ObjectCache(may_keep_one=True)
        for actor in range(3):
            cache.cache_object("2 CPUs", actor)
        assert list(cache.flush_cached_objects(force_all=True)) == [0, 1, 2]
        assert cache.num_cached_objects == 0


def test_a_ray_tune_of_another_build_runs_as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        """Has none of the known parts."""

    monkeypatch.setattr(module, "_ObjectCache", Other)
    with lean_tune():
        assert tune_controller._ObjectCache is _ObjectCache
