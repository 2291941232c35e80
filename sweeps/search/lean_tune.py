"""Ray Tune with actors that are really used again, and without what it imports to count its users' callbacks.

With `reuse_actors` Ray Tune keeps one free actor at most, unless a trial is staged already: where two trials end
together, one process is thrown away and a new one imports torch for the next trial, and the sweep's end waits for it.
Before it starts it imports wandb, for statistics that are off. There are no public settings for either; where Ray
Tune's inside differs, it runs as shipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from ray.air._internal import usage
from ray.tune.execution import tune_controller
from ray.tune.utils.object_cache import _ObjectCache


class _AllKept(_ObjectCache):
    """Keeps every free actor until no trial will come."""

    def cache_object(self, key: Any, obj: Any) -> bool:
        """Keep a free actor."""
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        return True

    def flush_cached_objects(self, force_all: bool = False) -> Iterator[Any]:
        """Actors to be ended: none before all are."""
        return iter(super().flush_cached_objects(force_all=True)) if force_all else iter(())


@contextmanager
def lean_tune() -> Iterator[None]:
    """Within the block, Ray Tune keeps free actors."""
    known = vars(_ObjectCache()).keys() >= {"_cached_objects", "_num_cached_objects"}
    with ExitStack() as stack:
        if known and hasattr(tune_controller, "_ObjectCache"):
            stack.enter_context(patch.object(tune_controller, "_ObjectCache", _AllKept))
        if hasattr(usage, "tag_callbacks"):
            stack.enter_context(patch.object(usage, "tag_callbacks", lambda _callbacks: False))
        yield
