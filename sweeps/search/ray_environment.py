"""What Ray reads from the environment. Set before Ray is imported: it reads much of it at import."""

from __future__ import annotations

import os
import secrets

from sweeps.settings import Settings

QUIET = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of users mean the same in workers
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "5",  # a cancelled trial that does not report is killed after so long
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Ray Tune's own state is never read back
    "TUNE_WARN_THRESHOLD_S": "30",
}


def set_environment(settings: Settings) -> None:
    """Prepare this process for Ray, and what it starts for these settings."""
    os.environ.update(QUIET)
    os.environ.update(settings.to_environment())
    if settings.ray_address is None:
        # A local Ray listens on the network: only this driver's own processes may speak to it.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
