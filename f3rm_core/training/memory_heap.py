"""A heap replayed on paper: what is taken and given back, in order, and how high it stood."""

from __future__ import annotations

import bisect

_APART_BYTES = 1 << 30
"""What does not fit into a free piece is mapped on its own from this size on, and unmapped when it is freed; so much
free memory at the heap's end goes back to the system too (`training.allocator` sets both)."""
_RETURNED_BYTES = 1 << 20
"""The same size under `training.allocator.return_memory`."""


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
        self._apart_from = _APART_BYTES if keeps else 0
        self._absent: list[tuple[int, int]] = []  # start, end: pages that were given back and not touched since
        self._number = 0
        self.live: dict[str, int] = {}
        self.peak_bytes = 0
        self.at_peak: dict[str, int] = {}

    def take(self, part: str, size: float) -> int:
        """Allocate; the number is for `give`."""
        size_bytes = int(size)
        self._number += 1
        self.live[part] = self.live.get(part, 0) + size_bytes
        address = self._place(size_bytes) if self._keeps else None
        if address is None:
            self._apart += size_bytes
        self._held[self._number] = (part, size_bytes, address)
        resident_bytes = self.resident_bytes
        if resident_bytes > self.peak_bytes:
            self.peak_bytes, self.at_peak = resident_bytes, dict(self.live)
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
        """The pages of all free pieces go back to the system until they are taken again, and what does not fit into
        them is mapped on its own (`return_memory`)."""
        self._apart_from = _RETURNED_BYTES if self._keeps else 0
        self._absent = [(address, address + size) for address, size in self._free]

    def forget_peak(self) -> None:
        """Look for the highest point from now on."""
        self.peak_bytes, self.at_peak = self.resident_bytes, dict(self.live)

    @property
    def resident_bytes(self) -> int:
        """What the process holds now, free pieces included."""
        return self._end + self._apart - sum(end - start for start, end in self._absent)

    def _place(self, size_bytes: int) -> int | None:
        """The address: in the smallest free piece that fits, the one at the end last, and beyond the end; None: on its
        own."""
        fitting = [(size, address) for address, size in self._free if size >= size_bytes and address + size < self._end]
        last = self._free[-1] if self._free and sum(self._free[-1]) == self._end else None
        if fitting:
            size, address = min(fitting)
        elif last is not None and last[1] >= size_bytes:
            address, size = last
        elif size_bytes >= self._apart_from:
            return None
        else:
            address, size = last or (self._end, 0)
        if size:
            self._free.remove((address, size))
        if size > size_bytes:
            bisect.insort(self._free, (address + size_bytes, size - size_bytes))
        end = address + size_bytes
        self._end = max(self._end, end)
        if not self._absent:
            return address
        self._absent = [
            piece
            for first, behind in self._absent
            for piece in ((first, min(behind, address)), (max(first, end), behind))
            if piece[0] < piece[1]
        ]
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
