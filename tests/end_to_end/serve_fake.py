"""The service, whose drivers have a fake trainer: `python -m serve_fake TRAINER`. All else is the real one."""

from __future__ import annotations

import sys

from service.__main__ import main
from sweeps import driver_process

if __name__ == "__main__":
    of_module = driver_process.module_command

    def module_command(module: str, *arguments: str) -> list[str]:
        """A driver's command line with the trainer's name."""
        if module == "sweeps.search.driver":
            return of_module("drive_fake", *arguments, sys.argv[1])
        return of_module(module, *arguments)

    driver_process.module_command = module_command
    sys.exit(main())
