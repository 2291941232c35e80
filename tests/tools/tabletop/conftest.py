"""The tools need packages that running the project does not: without them their tests are skipped."""

from __future__ import annotations

import importlib.util

NEEDED = ("trimesh", "embreex", "scipy")

if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]
