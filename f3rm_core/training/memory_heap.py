"""A heap replayed on paper: what is taken and given back, in order, and how high it stood."""

from __future__ import annotations

import bisect
from collections import Counter

_APART_BYTES = 1 << 30
"""From this size on glibc maps memory on its own and unmaps it when it is freed; so much free memory at the heap's end
goes back to the system too (`training.allocator` sets both)."""


class Heap:
    """Memory by part, while it is taken and given back.

    With `keeps` it behaves as glibc's malloc under `training.allocator.reuse_memory`: what is freed stays with the
    process and is joined with free neighbours, the smallest free piece that fits is taken first, and the heap grows
    only where none fits. Without, it counts what is in use, as CUDA's allocator tells it.
    """

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        self._held: dict[int, tuple[str, int, int | None]] = {}  # number -> part, bytes, address
        self._free: list[tuple[int, int]] = []  # address, bytes; ascending, never touching each other
        self._end = 0  # of the heap
        self._apart = 0  # mapped on their own
        self._number = 0
        self.live: Counter[str] = Counter()
        self.peak_bytes = 0
        self.at_peak: Counter[str] = Counter()

    def take(self, part: str, size: float) -> int:
        """Allocate; the number is for `give`."""
        size_bytes = int(size)
        self._number += 1
        self.live[part] += size_bytes
        address = None
        if self._keeps and size_bytes < _APART_BYTES:
            address = self._place(size_bytes)
        else:
            self._apart += size_bytes
        self._held[self._number] = (part, size_bytes, address)
        if self.resident_bytes > self.peak_bytes:
            self.peak_bytes, self.at_peak = self.resident_bytes, self.live.copy()
        return self._number

    def give(self, *numbers: int) -> None:
        """Free."""
        for number in numbers:
            part, size_bytes, address = self._held.pop(number)
            self.live[part] -= size_bytes
            if address is None:
                self._apart -= size_bytes
            elif size_bytes:
                self._join(address, size_bytes)

    def give_back(self) -> None:
        """All that is free goes back to the system, and so does from now on what is freed (`return_memory`). The peak
        is looked for from now on."""
        self._keeps, self._free, self._end, self._apart = False, [], 0, sum(self.live.values())
        self.peak_bytes, self.at_peak = self.resident_bytes, self.live.copy()

    @property
    def resident_bytes(self) -> int:
        """What the process holds now, free pieces included."""
        return self._end + self._apart

    def _place(self, size_bytes: int) -> int:
        """The address: in the smallest free piece that fits, the one at the end last."""
        fitting = [(size, address) for address, size in self._free if size >= size_bytes and address + size < self._end]
        if fitting:
            size, address = min(fitting)
        elif self._free and sum(self._free[-1]) == self._end:
            address, size = self._free[-1]
        else:
            address, size = self._end, 0
            self._free.append((address, size))
        self._free.remove((address, size))
        if size > size_bytes:
            bisect.insort(self._free, (address + size_bytes, size - size_bytes))
        self._end = max(self._end, address + size_bytes)
        return address

    def _join(self, address: int, size: int) -> None:
        at = bisect.bisect(self._free, (address, size))
        if at < len(self._free) and address + size == self._free[at][0]:
            size += self._free.pop(at)[1]
        if at and sum(self._free[at - 1]) == address:
            before, more = self._free.pop(at - 1)
            address, size, at = before, size + more, at - 1
        if address + size == self._end and size > _APART_BYTES:
            self._end = address
        else:
            self._free.insert(at, (address, size))
