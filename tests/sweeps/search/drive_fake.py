"""A driver process with another trainer: `python -m drive_fake SWEEP_ID TRAINER`."""

from __future__ import annotations

import sys

from sweeps.search.driver import configure_logging, run_sweep
from sweeps.settings import Settings

if __name__ == "__main__":
    settings = Settings.from_environment()
    configure_logging(settings.sweep_dir(sys.argv[1]))
    sys.exit(run_sweep(sys.argv[1], settings, trainer=f"fake_trainers:{sys.argv[2]}"))
