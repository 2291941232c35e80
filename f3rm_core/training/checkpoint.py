"""Checkpoints: written whole or not at all, and only loaded into the run they belong to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch

from f3rm_core.errors import CheckpointError, UsageError

FORMAT = 1
_PATTERN = "step-*.ckpt"


def save_checkpoint(folder: Path, step: int, content: Mapping[str, Any]) -> Path:
    """Write `content` as the folder's checkpoint of `step`, then remove older ones.

    A folder is one run's: what a killed process of it left half-written is removed first.

    Raises:
        UsageError: the folder can't be written, or the disk is full; what was there stays.
    """
    path = folder / f"step-{step:09d}.ckpt"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        with part.open("wb") as stream:
            torch.save({"format": FORMAT, "step": step, **content}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        # torch's zip writer turns a full disk into a RuntimeError of its own words
        cause = error if isinstance(error, OSError) else error.__context__ or error
        raise UsageError(
            f"checkpoint {path}: can't be written ({_first_line(cause)}); free space or choose another folder"
        ) from error
    for old in folder.glob(_PATTERN):
        if old != path:
            old.unlink(missing_ok=True)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The folder's newest whole checkpoint."""
    return max(folder.glob(_PATTERN), default=None)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, or the newest one of a folder.

    Raises:
        CheckpointError: nothing there, broken, or of another version.
        OSError: it could not be read this time; it may be whole.
        MemoryError: it does not fit in memory.
    """
    found = latest_checkpoint(path) if path.is_dir() else path
    if found is None or not found.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file; start without it")
    try:
        # Tensors and plain values only: a checkpoint must not be able to run code. Mapped: its pages are the file's,
        # not memory of the run that takes its values over.
        content: dict[str, Any] = torch.load(found, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if "allocate memory" in str(error):  # torch's allocator raises a RuntimeError
            raise MemoryError(_first_line(error)) from error
        raise CheckpointError(f"checkpoint {found}: can't be read ({_first_line(error)}); start without it") from error
    if content.get("format") != FORMAT:
        raise CheckpointError(f"checkpoint {found}: of another version; start without it")
    return content


def _remove_leftovers(folder: Path) -> None:
    for part in folder.glob("step-*.part"):
        process = int(part.stem.rpartition(".")[2])
        if process == os.getpid() or not psutil.pid_exists(process):
            part.unlink(missing_ok=True)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
