"""Checkpoints are whole or not there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from f3rm_core import CheckpointError, UsageError
from f3rm_core.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from tests.full_disk import no_room_beyond


def test_the_newest_is_kept_and_found(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 9, {"value": torch.tensor(1.0)})
    save_checkpoint(tmp_path, 10, {"value": torch.tensor(2.0)})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000010.ckpt"]
    assert float(load_checkpoint(tmp_path)["value"]) == 2.0


def test_a_save_removes_what_killed_processes_left_and_nothing_else(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    killed = tmp_path / f"step-000000001.{ended.pid}.part"
    own = tmp_path / f"step-000000001.{os.getpid()}.part"  # a process before had this one's number
    writing = tmp_path / f"step-000000001.{os.getppid()}.part"
    for part in (killed, own, writing):
        part.write_bytes(b"half")
    saved = save_checkpoint(tmp_path, 2, {"value": 1})
    assert set(tmp_path.iterdir()) == {saved, writing}


def test_a_full_disk_leaves_the_older_one_and_nothing_else(tmp_path: Path) -> None:
    kept = save_checkpoint(tmp_path, 1, {"value": 1})
    with no_room_beyond(100_000), pytest.raises(UsageError, match=r"can't be written .*File too large"):
        save_checkpoint(tmp_path, 2, {"value": torch.zeros(250_000)})
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "step-000000001.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-000000001.ckpt: can't be read"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(116, "Stale file handle"), OSError),
        (MemoryError(), MemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), MemoryError),
    ],
)
def test_what_says_nothing_of_the_file_is_not_held_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    path = save_checkpoint(tmp_path, 1, {"value": 1})

    def load(*_args: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(raised):
        load_checkpoint(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    torch.save({"format": 0}, path)
    with pytest.raises(CheckpointError, match="another version"):
        load_checkpoint(path)


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path)
