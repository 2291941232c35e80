"""What a run costs: seconds of work on its device, and peak private memory above the state before it."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import psutil
import torch

_INTERVAL_SECONDS = 0.05


class Stopwatch:
    """Counts the seconds that a device works between `start` and `stop`.

    On CUDA a call returns when its work is queued, not done: both ends wait for the queue, and nothing in between has
    to. Starting what runs and stopping what stands does nothing.

    Args:
        device: where the work is done.
        seconds: counted before.
    """

    def __init__(self, device: torch.device, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._device = device
        self._since: float | None = None

    def start(self) -> None:
        if self._since is None:
            wait_for(self._device)
            self._since = time.perf_counter()

    def stop(self) -> None:
        if self._since is not None:
            wait_for(self._device)
            self.seconds += time.perf_counter() - self._since
            self._since = None


def wait_for(device: torch.device) -> None:
    """Return when the device has done what it was given; on the CPU it always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class PeakMemory:
    """Watch this process's private bytes while the block runs; on CUDA, the allocator's peak.

    `bytes` is the peak above the state at the block's start. On the CPU private means resident and not shared with a
    file or another process, so memory-mapped features are not counted. Short peaks between two looks (0.05 s) are
    missed.

    Args:
        device: where the run is.
        held_bytes: private bytes that the run took before the block and keeps; on the CPU they count as its own.
    """

    def __init__(self, device: str, *, held_bytes: int = 0) -> None:
        self._cuda = device.startswith("cuda")
        self._held = 0 if self._cuda else held_bytes
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self._peak = self._before = 0

    @property
    def bytes(self) -> int:
        peak = torch.cuda.max_memory_allocated() if self._cuda else max(self._peak, self._now())
        return max(0, peak - self._before) + self._held

    def __enter__(self) -> PeakMemory:
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            self._before = self._peak = self._now()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_SECONDS):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        memory = self._process.memory_info()
        return int(memory.rss - memory.shared)
