"""nerfstudio without what it prints."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from nerfstudio.utils.rich_utils import CONSOLE


@contextmanager
def quiet_nerfstudio() -> Iterator[None]:
    """nerfstudio prints its set-up to stdout, where our callers print results, and warns of its own deprecations."""
    before = CONSOLE.quiet
    CONSOLE.quiet = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"nerfstudio\.")
            yield
    finally:
        CONSOLE.quiet = before
