"""From arguments to an exit code: errors become one line on stderr."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from typer import Abort, BadParameter, TyperException

from f3rm_core import F3RMError, UsageError
from sweeps.cli.app import app
from sweeps.cli.exits import DONE, FAILED, INTERRUPTED, PROGRAM, WRONG_USE
from sweeps.settings import misspelt


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    # Taken out here so that it may stand anywhere: users add it to the end of what they typed last.
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    # It would warn of a home folder that can't be written, which is no news for who set F3RM_CACHE_DIR.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    for name, meant in misspelt(os.environ).items():
        print(f"{PROGRAM}: warning: {name} is not read; did you mean {meant}?", file=sys.stderr)
    try:
        code = app(words, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # Typer's answer to Ctrl-C
            return _say("interrupted", INTERRUPTED)
        return code if isinstance(code, int) else DONE
    except (BrokenPipeError, SystemExit) as error:  # `f3rm-sweeps list | head`, of which Typer and rich make an exit
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Abort:  # at a question
        return _say("interrupted", INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        return _report(error)


def _report(error: Exception) -> int:
    if isinstance(error, TyperException):
        if isinstance(error, BadParameter):
            _name_value(error)
        message = error.format_message()
        return _say(message, WRONG_USE) if message else WRONG_USE  # without a command the help was shown
    if isinstance(error, UsageError):
        return _say(str(error), WRONG_USE)
    if isinstance(error, F3RMError):
        return _say(str(error), FAILED)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return _say(f"{place}{error.strerror or error}; make room or choose another place", FAILED)
    return _say(f"unforeseen {type(error).__name__}: {error}; --debug shows where", FAILED)


def _name_value(error: BadParameter) -> None:
    """What pydantic said of an option, in the words of a spec's faults and with the value given."""
    from pydantic import ValidationError

    from sweeps.spec.documents import remedy_of

    if isinstance(error.__cause__, ValidationError):
        (item,) = error.__cause__.errors()
        remedy, given = remedy_of(item), repr(item["input"])
        error.message = remedy if remedy.startswith(given) else f"{given} {remedy}"


def _say(message: str, code: int) -> int:
    print(f"{PROGRAM}: {' '.join(message.split())}", file=sys.stderr)
    return code
