"""The command f3rm-sweeps.

Start-up is kept under a second: torch, Ray, nerfstudio and FastAPI are imported by the commands that need them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 the work failed, 2 wrong use.

    Args:
        arguments: without the program's name; None takes the process's.
    """
    from sweeps.cli.exits import INTERRUPTED, PROGRAM

    try:
        from sweeps.cli.run import run  # imports all commands: a second where the machine is busy

        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return INTERRUPTED
