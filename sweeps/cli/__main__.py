"""`python -m sweeps.cli`: the command f3rm-sweeps where it is not installed."""

import sys

from sweeps.cli import main

sys.exit(main())
