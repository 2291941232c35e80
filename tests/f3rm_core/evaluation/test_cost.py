"""What a run costs: seconds that a device worked, and the peak of its own memory."""

from __future__ import annotations

import mmap
import time

import pytest
import torch

from f3rm_core.evaluation.cost import PeakMemory, Stopwatch


@pytest.mark.parametrize(("device", "counted"), [("cpu", 2.0), ("cuda", 2.5)])
def test_a_stopwatch_waits_for_a_gpus_queue_at_both_ends(
    device: str, counted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, queued = 10.0, 0.25  # of what was launched before

    def synchronize(which: torch.device) -> None:
        nonlocal now, queued
        now, queued = now + queued, 0.0

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    watch = Stopwatch(torch.device(device), 1.0)
    watch.start()
    now, queued = now + 0.75, queued + 0.5  # launching takes 0.75 s, and leaves work for 0.5 s
    watch.start()  # runs already
    now += 0.25
    watch.stop()
    now, queued = now + 7.0, queued + 7.0
    watch.stop()  # stands already
    assert watch.seconds == counted


def taken(size: int) -> mmap.mmap:
    """So much private memory, in bytes, from the system itself: an allocator may have some left of what was freed."""
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block[:: mmap.PAGESIZE] = b"1" * len(range(0, size, mmap.PAGESIZE))
    return block


def test_the_peak_is_above_the_start_and_counts_what_the_run_held_before() -> None:
    held_before = taken(20_000_000)
    with PeakMemory("cpu") as memory:
        during, kept = taken(30_000_000), taken(1_000_000)
        assert 31_000_000 <= memory.bytes < 40_000_000
        during.close()
    with PeakMemory("cpu", held_bytes=len(held_before)) as held:
        during = taken(30_000_000)
        assert 50_000_000 <= held.bytes < 60_000_000
    for block in (held_before, kept, during):
        block.close()
