"""What a run costs: seconds that a device worked."""

from __future__ import annotations

import time

import pytest
import torch

from f3rm_core.evaluation.cost import Stopwatch


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
