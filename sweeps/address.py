"""Where the running service is: it leaves its address in the data folder, so that no command needs its port.

A killed service leaves the file behind; a reader therefore asks the address whether it answers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from f3rm_core import write_whole

_FILE_NAME = "service.json"


def write_address(data_dir: Path, url: str) -> None:
    """Record that the service of this data folder answers at `url`.

    Raises:
        OSError, UsageError: the folder, or the file in it, can't be written.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    write_whole(data_dir / _FILE_NAME, f"{json.dumps({'url': url, 'pid': os.getpid()})}\n".encode())


def read_address(data_dir: Path) -> str | None:
    """The address that a service left, or None. That it still answers there is not said."""
    try:
        record = json.loads((data_dir / _FILE_NAME).read_text())
        return str(record["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_address(data_dir: Path, url: str) -> None:
    """Remove the record, if it is still of this service."""
    if read_address(data_dir) == url:
        (data_dir / _FILE_NAME).unlink(missing_ok=True)
