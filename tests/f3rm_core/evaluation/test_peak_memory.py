"""The peak of private memory: what counts as a run's own."""

from __future__ import annotations

import numpy as np

from f3rm_core.evaluation.cost import PeakMemory


def test_the_peak_is_above_the_start_and_counts_what_the_run_held_before() -> None:
    before = np.ones(20_000_000, np.uint8)
    with PeakMemory("cpu") as memory:
        during = np.ones(30_000_000, np.uint8)
        del during
        after = np.ones(1_000_000, np.uint8)
        assert memory.bytes < 40_000_000
    with PeakMemory("cpu", held_bytes=before.nbytes) as held:
        during = np.ones(30_000_000, np.uint8)
        assert 50_000_000 <= held.bytes < 60_000_000
    assert before.all()
    assert during.all()
    assert after.all()
