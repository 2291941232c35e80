"""Whether `f3rm_core.train` and nerfstudio's own `ns-train f3rm` train the same model: one preset, several seeds.

    python -m benchmarks.nerfstudio_agreement --scene embedded:tabletop --preset demo_cpu --out agreement.jsonl

`ns-train` runs as a process of its own on the same configuration, `ns-eval` scores its checkpoint on the same held-out
views. The two draw different random numbers, so they agree as two seeds of one trainer do: means within the spread.
Each run is appended to --out when it ends, and what is there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from f3rm_core import Scene, build_config, load_scene, train
from sweeps.cli.train import parse_assignments
from sweeps.spec.presets import load_preset

TRAINERS = ("train", "ns-train")
METRICS = ("psnr", "ssim")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default="embedded:tabletop")
    parser.add_argument("--preset", default="demo_cpu")
    parser.add_argument("--set", dest="assigned", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    scene = load_scene(arguments.scene)
    parameters = {**load_preset(arguments.preset).resolved, **parse_assignments(arguments.assigned)}
    done = _read(arguments.out)
    for seed in range(arguments.seeds):
        for trainer in TRAINERS:
            if (trainer, seed) in done:
                continue
            metrics = _train(parameters, scene, seed) if trainer == "train" else _ns_train(parameters, scene, seed)
            done[trainer, seed] = {name: metrics[name] for name in METRICS}
            with arguments.out.open("a") as stream:
                stream.write(json.dumps({"trainer": trainer, "seed": seed, **done[trainer, seed]}) + "\n")
    print(_table(done, arguments.seeds))


def _train(parameters: dict[str, object], scene: Scene, seed: int) -> dict[str, float]:
    config = build_config(parameters, seed=seed)
    return dict(train(config, scene, budget_steps=config.max_num_iterations).metrics)


def _ns_train(parameters: dict[str, object], scene: Scene, seed: int) -> dict[str, float]:
    config = build_config(parameters, seed=seed)
    config.data = config.pipeline.datamanager.data = scene.folder
    config.vis = "tensorboard"  # the viewer would keep the process alive
    config.machine.device_type = "cpu"
    config.experiment_name, config.timestamp = "agreement", f"seed{seed}"
    with tempfile.TemporaryDirectory() as folder:
        config.output_dir = Path(folder)
        file, scores = Path(folder) / "config.yml", Path(folder) / "scores.json"
        file.write_text(yaml.dump(config))
        _run("ns-train", "f3rm", "--load-config", str(file), threads=config.threads)
        trained = config.get_base_dir() / "config.yml"
        _run("ns-eval", "--load-config", str(trained), "--output-path", str(scores), threads=config.threads)
        results: dict[str, float] = json.loads(scores.read_text())["results"]
        return results


def _run(command: str, *arguments: str, threads: int) -> None:
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    program = Path(sys.executable).parent / command
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        sys.exit(f"{command} failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")


def _table(done: dict[tuple[str, int], dict[str, float]], seeds: int) -> str:
    lines = ["| trainer | " + " | ".join(METRICS) + " |", "|---|" + "---|" * len(METRICS)]
    for trainer in TRAINERS:
        cells = []
        for name in METRICS:
            values = [done[trainer, seed][name] for seed in range(seeds)]
            spread = statistics.stdev(values) if seeds > 1 else 0.0
            cells.append(f"{statistics.fmean(values):.3f} ({spread:.3f})")
        lines.append(f"| {trainer} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Mean over {seeds} seeds (spread: sample standard deviation)."])


def _read(path: Path) -> dict[tuple[str, int], dict[str, float]]:
    runs = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(run["trainer"], run["seed"]): run for run in runs}


if __name__ == "__main__":
    main()
