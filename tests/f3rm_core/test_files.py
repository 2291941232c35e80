"""Files that users name: written whole or not at all, whatever the disk and the path are."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from f3rm_core import UsageError, write_whole
from tests.full_disk import no_room_beyond


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", [None, b"before"])
def test_without_room_nothing_is_left_and_nothing_is_lost(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "x.yaml"
    if before is not None:
        path.write_bytes(before)
    with no_room_beyond(100), pytest.raises(UsageError) as caught:
        write_whole(path, b"x" * 101)
    assert str(caught.value) == f"{path}: can't be written (File too large); choose another place"
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == (
        [("x.yaml", before)] if before else []
    )


def test_places_that_take_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for place, reason in (
        ("folder", "Is a directory"),
        ("none/x", "No such file or directory"),
        ("file/x", "Not a directory"),
        ("n" * 300, "File name too long"),
    ):
        with pytest.raises(UsageError, match=reason):
            write_whole(tmp_path / place, b"x")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """As `-o /dev/stdout` and `-o >(gzip)` are; replacing one would break it for everyone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join(10)
    assert read == [b"through"]
    assert pipe.is_fifo()


def test_stdout_is_written_to() -> None:
    code = "from pathlib import Path; from f3rm_core import write_whole; write_whole(Path('/dev/stdout'), b'out')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"out"
