"""Exit codes, and the error of work that failed."""

from __future__ import annotations

from f3rm_core import F3RMError

PROGRAM = "f3rm-sweeps"
DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class CommandFailed(F3RMError):
    """The work of a command failed; the message is the one line that the user sees. Exit code 1."""
