"""What a sweep costs beside its trainings: twenty trials that do nothing, two at once, with a real Ray.

    python -m benchmarks.overhead [--trials 20] [--concurrent 2] [--repeats 3] [--stock] [--json FILE]

Seconds run from the driver's start to its end. On a busy machine look at the CPU time, of all of the sweep's processes.
--stock alternates with what a user would write: Ray Tune's Tuner with OptunaSearch around a function.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

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
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stock", action="store_true", help="measure Ray Tune as shipped beside it")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    parser.add_argument("--drive-stock", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        sys.exit(_drive(arguments.drive))
    if arguments.drive_stock:
        sys.exit(_drive_stock(arguments.trials, arguments.concurrent))
    runs: dict[str, list[dict[str, Any]]] = {"sweep": [], "stock": []}
    for _ in tqdm(range(arguments.repeats), disable=None):
        runs["sweep"].append(_measure(arguments.trials, arguments.concurrent))
        if arguments.stock:
            runs["stock"].append(_measure_stock(arguments.trials, arguments.concurrent))
    for name, measured in runs.items():
        if measured:
            walls, cpus = ([run[kind] for run in measured] for kind in ("wall_seconds", "cpu_seconds"))
            middle = f"{statistics.median(walls):.1f} s ({min(walls):.1f} to {max(walls):.1f})"
            print(
                f"{name}: {arguments.trials} trials in {middle}; CPU of all processes {statistics.median(cpus):.1f} s"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(runs, indent=1) + "\n")


def _drive(sweep_id: str) -> int:
    """The driver process."""
    from sweeps.search.driver import configure_logging, run_sweep

    settings = Settings.from_environment()
    configure_logging(settings.sweep_dir(sweep_id))
    return run_sweep(sweep_id, settings, trainer="benchmarks.overhead:Idle")


def _drive_stock(trials: int, concurrent: int) -> int:
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    def train(config: dict[str, float]) -> None:
        tune.report({"psnr": 20.0 - config["feat_loss_weight"], "feature_gain": config["feat_loss_weight"] / 10.0})

    ray.init(num_cpus=concurrent, log_to_driver=False)
    search = OptunaSearch(metric=["psnr", "feature_gain"], mode=["max", "max"])
    results = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"feat_loss_weight": tune.loguniform(1e-3, 10.0)},
        tune_config=tune.TuneConfig(search_alg=search, num_samples=trials, max_concurrent_trials=concurrent),
        run_config=tune.RunConfig(storage_path=tempfile.mkdtemp(dir=os.environ["STOCK_FOLDER"]), verbose=0),
    ).fit()
    return int(len(results) != trials or results.num_errors > 0)


def _measure_stock(trials: int, concurrent: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.overhead", "--drive-stock"]
        command += ["--trials", str(trials), "--concurrent", str(concurrent)]
        start = time.perf_counter()
        driver = psutil.Popen(
            command, env={**os.environ, "STOCK_FOLDER": folder}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        used = _watch(driver)
        seconds = time.perf_counter() - start
    if driver.returncode:
        sys.exit(f"Ray Tune as shipped failed: exit code {driver.returncode}")
    return _figures(seconds, used)


def _figures(seconds: float, used: dict[int, tuple[str, float]]) -> dict[str, Any]:
    return {
        "wall_seconds": round(seconds, 2),
        "cpu_seconds": round(sum(seconds for _, seconds in used.values()), 2),
        "cpu_by_process": _by_name(used),
    }


def _measure(trials: int, concurrent: int) -> dict[str, Any]:
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
        command = [sys.executable, "-m", "benchmarks.overhead", "--drive", sweep.id]
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
        **_figures(seconds, used),
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
