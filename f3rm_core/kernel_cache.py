"""Where numba keeps compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path


def find_kernel_cache() -> None:
    """Where the package is read-only, as one that root installed, let numba keep its kernels in our cache folder.

    Otherwise numba would keep them in the user's home, and fail where that is read-only too, as in many containers.
    """
    if "NUMBA_CACHE_DIR" in os.environ or os.access(Path(__file__).parent, os.W_OK):
        return
    from f3rm_core.array_cache import default_cache_dir

    os.environ["NUMBA_CACHE_DIR"] = str(default_cache_dir() / "numba")
