"""Where things live and which cluster runs them: read once from F3RM_* and passed in."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from sweeps.errors import InvalidSetting

_NAMES = (
    *("F3RM_STORE_URL", "F3RM_DATA_DIR", "F3RM_CACHE_DIR", "F3RM_SCENE_ROOT", "F3RM_RAY_ADDRESS"),
    *("F3RM_LEASE_SECONDS", "F3RM_MAX_ATTEMPTS", "F3RM_HOST", "F3RM_PORT", "F3RM_MAX_DRIVERS", "F3RM_SERVER"),
)


def misspelt(environment: Mapping[str, str]) -> dict[str, str]:
    """F3RM_* variables that nobody reads, and the one that each nearly is; your own, which are near none, are not
    among them."""
    unread = [name for name in environment if name.startswith("F3RM_") and name not in _NAMES]
    near = {name: difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.85) for name in unread}
    return {name: found[0] for name, found in near.items() if found}


@dataclass(frozen=True)
class Settings:
    """Everything that a process of this project needs to know about its surroundings.

    Args:
        store_url: SQLAlchemy URL of the database; by default SQLite in `data_dir`.
        data_dir: sweeps' folders (`sweeps/<id>/`), the artifacts of the dashboard, the default database.
        cache_dir: extracted features and expanded weights; may be deleted at any time.
        scene_root: folder that relative scene paths start from; None: the working directory.
        ray_address: an existing Ray cluster ("auto", "ray://head:10001"); None: a local Ray per driver.
        lease_seconds: a driver that has not renewed its lease for so long counts as dead.
        max_attempts: attempts of a trial whose worker died, without progress between them, before it counts as failed.
    """

    store_url: str
    data_dir: Path
    cache_dir: Path
    scene_root: Path | None = None
    ray_address: str | None = None
    lease_seconds: float = 30.0
    max_attempts: int = 3

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read F3RM_STORE_URL, F3RM_DATA_DIR, F3RM_CACHE_DIR, F3RM_SCENE_ROOT, F3RM_RAY_ADDRESS, F3RM_LEASE_SECONDS
        and F3RM_MAX_ATTEMPTS.

        Raises:
            InvalidSetting: a value that can't work.
        """
        env = os.environ if environment is None else environment
        data_dir = _folder(env.get("F3RM_DATA_DIR")) or Path(platformdirs.user_data_dir("f3rm-sweeps", appauthor=False))
        cache_dir = _folder(env.get("F3RM_CACHE_DIR")) or Path(
            platformdirs.user_cache_dir("f3rm-sweeps", appauthor=False)
        )
        return cls(
            store_url=env.get("F3RM_STORE_URL") or f"sqlite:///{data_dir / 'f3rm.db'}",
            data_dir=data_dir,
            cache_dir=cache_dir,
            scene_root=_folder(env.get("F3RM_SCENE_ROOT")),
            ray_address=env.get("F3RM_RAY_ADDRESS") or None,
            lease_seconds=_number(env, "F3RM_LEASE_SECONDS", default=30.0, low=0.5),
            max_attempts=whole_number(env, "F3RM_MAX_ATTEMPTS", default=3, low=1),
        )

    def to_environment(self) -> dict[str, str]:
        """The F3RM_* variables that give these settings to a child process."""
        variables = {
            "F3RM_STORE_URL": self.store_url,
            "F3RM_DATA_DIR": str(self.data_dir),
            "F3RM_CACHE_DIR": str(self.cache_dir),
            "F3RM_LEASE_SECONDS": repr(self.lease_seconds),
            "F3RM_MAX_ATTEMPTS": str(self.max_attempts),
        }
        if self.scene_root is not None:
            variables["F3RM_SCENE_ROOT"] = str(self.scene_root)
        if self.ray_address is not None:
            variables["F3RM_RAY_ADDRESS"] = self.ray_address
        return variables

    def sweep_dir(self, sweep_id: str) -> Path:
        """Folder of everything that one sweep leaves on disk."""
        return self.data_dir / "sweeps" / sweep_id

    def sweep_bytes(self, sweep_id: str) -> int:
        """What a sweep takes on this machine, bytes, its checkpoints most of all; 0 where none of it is here."""
        files = (path for path in self.sweep_dir(sweep_id).rglob("*") if path.is_file() and not path.is_symlink())
        total = 0
        for path in files:
            with suppress(OSError):  # checkpoints come and go while a sweep runs
                total += path.stat().st_size
        return total

    def trial_dir(self, sweep_id: str, number: int) -> Path:
        """Folder of one trial's pictures and checkpoints."""
        return self.sweep_dir(sweep_id) / "trials" / f"{number:04d}"

    @property
    def artifacts_dir(self) -> Path:
        """Folder of the files that the Optuna dashboard shows (optuna's FileSystemArtifactStore)."""
        return self.data_dir / "artifacts"


def _folder(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


def _number(env: Mapping[str, str], name: str, *, default: float, low: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (value >= low and math.isfinite(value)):
        raise InvalidSetting(f"{name}={text!r}: give a number of at least {low:g}")
    return value


def whole_number(env: Mapping[str, str], name: str, *, default: int, low: int) -> int:
    """A variable's whole number; the default where it is not set or empty.

    Raises:
        InvalidSetting: it is none, or below `low`.
    """
    text = env.get(name)
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise InvalidSetting(f"{name}={text!r}: give a whole number of at least {low}")
    return value
