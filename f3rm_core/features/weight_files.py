"""Weight files of any model: whether one is whole, and whether the address that has it answers."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from huggingface_hub import constants as hub
from safetensors import SafetensorError, safe_open

from f3rm_core.errors import WeightsUnavailable

REACH_TIMEOUT_SECONDS = 5.0


def damage(file: Path) -> str | None:
    """What a quick look finds wrong with the container; None: nothing."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="numpy"):  # compares the file's size with the header
                return None
        with file.open("rb") as stream:
            magic = stream.read(2)
        # PyTorch writes zip archives, whose directory is at the end; before 1.6 it wrote pickles
        return None if zipfile.is_zipfile(file) or magic[:1] == b"\x80" else "neither PyTorch nor safetensors"
    except (OSError, SafetensorError) as error:
        return first_line(error)


@contextmanager
def loading(file: Path, *, into: str, parameter: str, value: str) -> Iterator[None]:
    """Say in one line that a file's weights do not go into a model.

    Args:
        file: the weight file.
        into: the model's name.
        parameter, value: what the user named the weights with.

    Raises:
        WeightsUnavailable: for whatever the block raised, but for a lack of memory.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # pickle, zip, shape and key errors of several libraries
        reason = " ".join(str(error).split())[:160]
        raise WeightsUnavailable(
            f"{parameter}={value!r}: {file} can't be loaded into {into} "
            f"({reason}); give the weights of this model, or download them again"
        ) from error


def reachable(address: str) -> bool:
    """Whether anything answers there. A hub's own client would try for a minute and more."""
    if hub.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            with urllib.request.urlopen(request, timeout=REACH_TIMEOUT_SECONDS):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()  # an answer, if not to this question
        except (OSError, HTTPException, ValueError):
            pass  # no such host, no route, not HTTP, not an address

    # In a thread, as looking up a name obeys no timeout; a daemon, so that it never keeps the process.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_SECONDS + 1)
    return answered.is_set()


def first_line(error: Exception) -> str:
    """What an error says, short."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:160]
