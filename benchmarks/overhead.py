"""What a sweep costs beside its trainings: twenty trials that do nothing, two at once, with a real Ray.

    python -m benchmarks.overhead [--trials 20] [--concurrent 2] [--json FILE]

Seconds run from the driver's start to its end. On a busy machine look at the CPU time, of all of the sweep's processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from f3rm_core import Report, TrainResult
from sweeps.search.trial import TrialJob
from sweeps.settings import Settings

SAMPLE_SECONDS = 0.25


class Idle:
    """Trains nothing. Workers import it by name."""

    def prepare(self, job: TrialJob) -> None:
        """Nothing."""

    def train(self, job: TrialJob, on_report: Callable[[Report], None], resume_from: Path | None) -> TrainResult:
        """A result at once."""
        weight = float(job.configuration["feat_loss_weight"])
        metrics = {"psnr": 20.0 - weight, "feature_gain": weight / 10.0, "train_seconds": 0.01}
        return TrainResult(metrics, "numba", "cpu", job.threads, job.steps, 0.01, 1000, 0, None, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    parser.add_argument("--profile", type=Path, help="file for the driver's profile (cProfile)")
    arguments = parser.parse_args()
    if arguments.drive:
        sys.exit(_drive(arguments.drive))
    found = _measure(arguments.trials, arguments.concurrent, arguments.profile)
    print(json.dumps(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _drive(sweep_id: str) -> int:
    """The driver process."""
    from sweeps.search.driver import configure_logging, run_sweep

    settings = Settings.from_environment()
    configure_logging(settings.sweep_dir(sweep_id))
    return run_sweep(sweep_id, settings, trainer="benchmarks.overhead:Idle")


def _measure(trials: int, concurrent: int, profile: Path | None) -> dict[str, Any]:
    from sweeps.spec.sweep import parse_spec
    from sweeps.store.repository import Repository

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        settings = Settings(f"sqlite:///{data / 'f3rm.db'}", data_dir=data, cache_dir=data / "cache")
        repository = Repository.open(settings.store_url)
        spec = {
            "name": "idle",
            "scene": "embedded:tabletop",
            "space": {"feat_loss_weight": {"type": "float", "low": 1e-3, "high": 10.0, "log": True}},
            "objectives": ["psnr", "feature_gain"],
            "fidelity": {"rungs": [10]},
            "budget": {"trials": trials},
            "resources": {"max_concurrent": concurrent},
            "search": {"sampler": "random"},
        }
        sweep, _ = repository.create_sweep(parse_spec(spec))
        command = [sys.executable, *(["-m", "cProfile", "-o", str(profile)] if profile else [])]
        command += ["-m", "benchmarks.overhead", "--drive", sweep.id]
        start, started_at = time.perf_counter(), datetime.now()
        driver = psutil.Popen(command, env={**os.environ, **settings.to_environment()}, stderr=subprocess.DEVNULL)
        used = _watch(driver)
        seconds = time.perf_counter() - start
        log = (settings.sweep_dir(sweep.id) / "driver.log").read_text().splitlines()
        counts = repository.get_sweep(sweep.id).counts
        repository.close()
    if driver.returncode or counts != {"completed": trials}:
        sys.exit(f"the sweep failed: exit code {driver.returncode}, {counts}\n" + "\n".join(log[-5:]))
    return {
        "trials": trials,
        "wall_seconds": round(seconds, 2),
        "cpu_seconds": round(sum(seconds for _, seconds in used.values()), 2),
        "cpu_by_process": _by_name(used),
        "log": [f"{_since(line, started_at):6.2f} {line[24:]}" for line in log],
    }


def _watch(driver: psutil.Popen) -> dict[int, tuple[str, float]]:
    """CPU seconds of the driver and of what it started, by process id, as last seen."""
    used: dict[int, tuple[str, float]] = {}
    while driver.poll() is None:
        try:
            for process in [driver, *driver.children(recursive=True)]:
                with process.oneshot():
                    times = process.cpu_times()
                    used[process.pid] = (process.name(), times.user + times.system)
        except psutil.NoSuchProcess:
            continue
        time.sleep(SAMPLE_SECONDS)
    return used


def _by_name(used: dict[int, tuple[str, float]]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for name, seconds in used.values():
        totals[name] = totals.get(name, 0.0) + seconds
    return {name: round(seconds, 2) for name, seconds in sorted(totals.items(), key=lambda item: -item[1])}


def _since(line: str, start: datetime) -> float:
    """Seconds from the start to a line of the driver's log."""
    return (datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f") - start).total_seconds()


if __name__ == "__main__":
    main()
