"""`python -m service`: the service by itself, with settings from F3RM_*; `f3rm-sweeps serve` starts this."""

from __future__ import annotations

import sys

from f3rm_core import F3RMError, UsageError
from service.server import serve
from service.settings import ServiceSettings


def main() -> int:
    """Serve; return the exit code."""
    try:
        serve(ServiceSettings.from_environment())
    except UsageError as error:
        print(f"f3rm-sweeps: {error}", file=sys.stderr)
        return 2
    except (F3RMError, OSError) as error:
        print(f"f3rm-sweeps: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
