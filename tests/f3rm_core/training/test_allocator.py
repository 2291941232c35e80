import resource
import sys

import pytest
import torch

from f3rm_core.training.allocator import reuse_memory

_PAGE_BYTES = 4096
_MEBIBYTES = 8


def _page_faults_of_large_tensors() -> int:
    torch.ones(_MEBIBYTES << 18)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(_MEBIBYTES << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_tensors_are_used_again_without_page_faults() -> None:
    with reuse_memory():
        # Ten fresh ones would fault ten times as often as one.
        assert _page_faults_of_large_tensors() < 5 * (_MEBIBYTES << 20) // _PAGE_BYTES


def test_what_is_raised_inside_passes_through() -> None:
    with pytest.raises(KeyError), reuse_memory():
        raise KeyError
