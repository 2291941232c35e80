"""Freed tensors are used again, and nothing is swallowed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from f3rm_core.training.allocator import reuse_memory

_TENSOR_PAGES = (48 << 20) // 4096  # beyond 32 MiB glibc maps every tensor anew, however often
# In a process of its own: what the other tests left in the heap decides where a tensor lands.
_COUNT_FAULTS = """
import resource, torch
from f3rm_core.training.allocator import reuse_memory
with reuse_memory():
    for _ in range(20):  # the first few find their place in the heap
        torch.ones(48 << 18)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(48 << 18)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_tensors_are_used_again_without_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", _COUNT_FAULTS], capture_output=True, text=True, check=True)
    # Ten fresh tensors of 48 MiB would fault ten times as often as one.
    assert int(done.stdout) < 5 * _TENSOR_PAGES


def test_what_is_raised_inside_passes_through() -> None:
    with pytest.raises(KeyError), reuse_memory():
        raise KeyError


_RESIDENT = """
import psutil, torch
from f3rm_core.training.allocator import return_memory, reuse_memory
process = psutil.Process()
with reuse_memory():
    torch.ones(24 << 18)
    kept = process.memory_info().rss
    with return_memory():
        began = process.memory_info().rss
        torch.ones(96 << 18)  # more than was free: on its own
        ended = process.memory_info().rss
    torch.ones(96 << 18)
    print(kept - began >> 20, ended - began >> 20, process.memory_info().rss - ended >> 20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_an_evaluation_gives_its_memory_back_and_a_step_keeps_it() -> None:
    done = subprocess.run([sys.executable, "-c", _RESIDENT], capture_output=True, text=True, check=True)
    given_back, left, kept_again = map(int, done.stdout.split())
    assert given_back >= 20  # MiB of the 24 that were free
    assert left < 8
    assert kept_again >= 90
