"""Whether `f3rm_core.train` and nerfstudio's own `ns-train f3rm` train the same model: one preset, several seeds.

    python -m benchmarks.nerfstudio_agreement --scene embedded:tabletop --preset demo_cpu --out agreement.jsonl

`ns-train` runs as a process of its own on the same configuration, `ns-eval` scores its checkpoint on the same held-out
views. The two draw different random numbers, so they agree as two seeds of one trainer do: means within the spread.
Each run is appended to --out when it ends, and what is there is not trained again.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import yaml

from benchmarks.trainings import Runs, parameters_of, parser_of
from f3rm_core import Scene, build_config, load_scene, train

TRAINERS = ("train", "ns-train")
METRICS = ("psnr", "ssim")


def main() -> None:
    arguments = parser_of(__doc__.splitlines()[0]).parse_args()
    scene, parameters = load_scene(arguments.scene), parameters_of(arguments)
    runs = Runs(arguments.out, "trainer", "seed")
    for seed in range(arguments.seeds):
        for trainer, train_one in zip(TRAINERS, (_train, _ns_train), strict=True):
            runs.add((trainer, seed), partial(train_one, parameters, scene, seed))
    print(_table(runs, arguments.seeds))


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
        _run("ns-train", "f3rm", "--load-config", str(file))
        trained = config.get_base_dir() / "config.yml"
        _run("ns-eval", "--load-config", str(trained), "--output-path", str(scores))
        results: dict[str, float] = json.loads(scores.read_text())["results"]
        return results


def _run(command: str, *arguments: str) -> None:
    program = Path(sys.executable).parent / command
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{command} failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")


def _table(runs: Runs, seeds: int) -> str:
    lines = ["| trainer | " + " | ".join(METRICS) + " |", "|---|" + "---|" * len(METRICS)]
    for trainer in TRAINERS:
        cells = []
        for name in METRICS:
            values = [runs[trainer, seed][name] for seed in range(seeds)]
            spread = statistics.stdev(values) if seeds > 1 else 0.0
            cells.append(f"{statistics.fmean(values):.3f} ({spread:.3f})")
        lines.append(f"| {trainer} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Mean over {seeds} seeds (spread: sample standard deviation)."])


if __name__ == "__main__":
    main()
