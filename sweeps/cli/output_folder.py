"""The folder that a command leaves its results in."""

from __future__ import annotations

import tempfile
from pathlib import Path

from f3rm_core import UsageError

_ROOM_BYTES = 4096


def make_output_folder(folder: Path) -> None:
    """Make it, and find out before the work begins whether anything can be written there.

    Raises:
        UsageError: it is a file, read-only, or on a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(_ROOM_BYTES))
            trial.flush()
    except OSError as error:
        raise UsageError(f"--output {folder}: can't be written ({error.strerror}); choose another folder") from None
