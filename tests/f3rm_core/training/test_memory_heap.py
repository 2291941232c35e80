"""What a replayed heap holds, worked out by hand."""

from __future__ import annotations

from f3rm_core.training.memory_heap import Heap

MIB = 1 << 20


def test_what_is_freed_is_used_again_and_not_given_back() -> None:
    heap = Heap(keeps=True)
    first, second = heap.take("a", 4 * MIB), heap.take("b", 2 * MIB)
    heap.give(first)
    assert heap.resident_bytes == 6 * MIB
    heap.take("c", 3 * MIB)  # into the hole of 4
    assert heap.resident_bytes == 6 * MIB
    heap.take("d", 2 * MIB)  # the hole's rest is 1: beyond the end
    assert heap.resident_bytes == 8 * MIB
    assert heap.live == {"a": 0, "b": 2 * MIB, "c": 3 * MIB, "d": 2 * MIB}
    heap.give(second)


def test_the_smallest_piece_that_fits_is_taken() -> None:
    heap = Heap(keeps=True)
    large, _, small, _ = (heap.take("a", size * MIB) for size in (4, 1, 2, 1))
    heap.give(large, small)
    heap.take("b", 2 * MIB)
    heap.take("b", 4 * MIB)
    assert heap.resident_bytes == 8 * MIB


def test_free_neighbours_are_joined() -> None:
    heap = Heap(keeps=True)
    first, second, third, _ = (heap.take("a", MIB) for _ in range(4))
    heap.give(first, third, second)
    heap.take("b", 3 * MIB)
    assert heap.resident_bytes == 4 * MIB


def test_the_end_grows_by_what_is_missing() -> None:
    heap = Heap(keeps=True)
    last = heap.take("a", 2 * MIB)
    heap.give(last)
    heap.take("b", 5 * MIB)
    assert heap.resident_bytes == 5 * MIB


def test_the_peak_remembers_its_parts() -> None:
    heap = Heap(keeps=False)
    first = heap.take("a", 3 * MIB)
    second = heap.take("b", 2 * MIB)
    heap.give(first, second)
    heap.take("b", MIB)
    assert heap.peak_bytes == 5 * MIB
    assert heap.at_peak == {"a": 3 * MIB, "b": 2 * MIB}
    assert heap.resident_bytes == MIB


def test_pieces_of_a_gibibyte_are_mapped_on_their_own() -> None:
    heap = Heap(keeps=True)
    mapped = heap.take("a", 1024 * MIB)
    heap.give(mapped)
    assert heap.resident_bytes == 0


def test_after_giving_back_only_what_is_touched_again_counts() -> None:
    heap = Heap(keeps=True)
    heap.take("kept", MIB)
    step = heap.take("step", 10 * MIB)
    heap.give(step)
    assert heap.resident_bytes == 11 * MIB
    heap.give_back()
    heap.forget_peak()
    assert heap.resident_bytes == heap.peak_bytes == MIB
    inside = heap.take("evaluation", 4 * MIB)  # in the piece that was given back
    apart = heap.take("evaluation", 20 * MIB)  # does not fit there: mapped on its own
    assert heap.peak_bytes == 25 * MIB
    heap.give(inside, apart)
    assert heap.resident_bytes == 5 * MIB
