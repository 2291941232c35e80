"""Predicted against measured peak memory on the CPU, on configurations drawn from a wide space.

    python -m benchmarks.memory --out memory.jsonl --plot docs/memory.png

Each configuration trains a few steps on the embedded scene, is scored, and ends, three times, each in a process of its
own that has imported everything and trained nothing: where the C library puts a tensor differs between processes. Some
train again with a checkpoint, and resumed from it: a trial of a sweep does both. The figures of docs/memory.md are of
the default seed; the model was worked out on other seeds. Each training is appended to --out when it ends, and what is
there is not trained again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from tqdm import tqdm

from benchmarks.trainings import Runs
from f3rm_core import Scene, build_config, check_parameters, load_scene, peak_memory, prepare_scene, train
from sweeps.spec.presets import load_preset, overlay

How = Literal["unbroken", "with a checkpoint", "resumed"]
SEED = 40
TOLERANCE = 0.15
STEPS = 5
"""The proposals train at each of the first ten steps: no later step takes more."""
_PRELOADED = ["f3rm_core.training.trainer", "f3rm_core.config"]
_SCENE = "embedded:tabletop"
_FIXED = {"clip_model": "tabletop-mini", "clip_pretrained": "embedded", "threads": 1}
_STAGES = ([64], [64, 32], [128, 64], [256, 96], [96, 64, 48])
_COLORS = {
    "parameters": "#1f3b63",
    "gradients": "#2f6db3",
    "optimizer": "#8fb8de",
    "proposal samples": "#2e7d4f",
    "radiance samples": "#6abf7b",
    "feature samples": "#b7dfae",
    "evaluation": "#e0852b",
    "free": "#c9ced6",
    "process": "#8a6fb0",
    "other": "#c64b4b",
}
"""Of the parts in the plot, from below; what is not named is other."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3, help="of each; the table has their median")
    parser.add_argument("--resumed", type=int, default=5, help="so many, from small to large, are also resumed")
    parser.add_argument("--out", type=Path, required=True, help="a JSON line for each training; what is there is kept")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    scene = load_scene(_SCENE)
    random = Random(arguments.seed)
    drawn = [draw(random) for _ in range(arguments.count)]
    runs = Runs(arguments.out, "seed", "number", "how", "repeat")

    def peaks(number: int, how: How) -> list[float]:
        for repeat in range(arguments.repeats):
            runs.add((arguments.seed, number, how, repeat), partial(measure, drawn[number], how))
        return [runs[arguments.seed, number, how, repeat]["peak_memory_gb"] for repeat in range(arguments.repeats)]

    unbroken = [peaks(number, "unbroken") for number in tqdm(range(len(drawn)), disable=None)]
    measured = [statistics.median(one) for one in unbroken]
    print(table(drawn, measured, scene))
    farthest = max(abs(peak / middle - 1) for one, middle in zip(unbroken, measured, strict=True) for peak in one)
    print(f"a single run is up to {100 * farthest:.0f}% away from its median")
    if arguments.resumed:
        heads = ("rays", "table entries", *(f"{how} (GB)" for how in get_args(How)))
        print("\n| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for number in spread(measured, arguments.resumed):
        medians = [statistics.median(peaks(number, how)) for how in get_args(How)]
        cells = (drawn[number]["train_num_rays_per_batch"], _entries(drawn[number]), *(f"{one:.3f}" for one in medians))
        print("| " + " | ".join(map(str, cells)) + " |")
    if arguments.plot:
        _plot(drawn, measured, scene, arguments.plot)


def spread(values: Sequence[float], count: int) -> list[int]:
    """Where `count` of the values are, from the smallest to the largest."""
    order = sorted(range(len(values)), key=values.__getitem__)
    return [order[round(part * (len(order) - 1) / max(count - 1, 1))] for part in range(count)]


def draw(random: Random) -> dict[str, Any]:
    """One configuration: every parameter of the documented defaults that acts on memory is drawn anew."""
    stages = random.choice(_STAGES)
    changes = {
        "train_num_rays_per_batch": int(2 ** random.uniform(7, 12.5)),
        "num_nerf_samples_per_ray": random.randint(8, 64),
        "num_proposal_samples_per_ray": stages,
        "num_proposal_iterations": len(stages),
        "num_levels": random.randint(4, 16),
        "max_res": random.choice([256, 512, 1024, 2048, 4096]),
        "log2_hashmap_size": random.randint(12, 21),
        "features_per_level": random.choice([1, 2, 4]),
        "feat_num_levels": random.randint(3, 12),
        "feat_max_res": random.choice([32, 64, 128, 256]),
        "feat_log2_hashmap_size": random.randint(12, 20),
        "feat_features_per_level": random.choice([2, 4, 8]),
        "hidden_dim": random.choice([16, 32, 64, 128]),
        "hidden_dim_color": random.choice([16, 32, 64, 128]),
        "num_layers": random.randint(1, 4),
        "num_layers_color": random.randint(1, 4),
        "feat_hidden_dim": random.choice([16, 32, 64, 128]),
        "feat_num_layers": random.randint(1, 3),
        "feat_use_pe": random.random() < 0.7,
        "feat_pe_n_freq": random.randint(2, 8),
        "appearance_embed_dim": random.choice([8, 32]),
        "use_appearance_embedding": random.random() < 0.5,
        "eval_num_rays_per_chunk": int(2 ** random.uniform(9, 14)),
        "camera_opt_mode": random.choice(["off", "off", "SO3xR3", "SE3"]),
        "gradient_accumulation_steps": random.choice([1, 1, 2]),
        "camera_res_scale_factor": random.choice([0.25, 0.5, 0.5, 1.0]),
        "feature_image_size": random.choice([0, 96]),
        "mixed_precision": random.random() < 0.5,
    }
    return check_parameters(overlay(load_preset("f3rm_default").resolved, {**_FIXED, **changes}))


def table(drawn: list[dict[str, Any]], measured: list[float], scene: Scene) -> str:
    """A row for each configuration, and how far off the predictions are."""
    lines = [
        "| rays | samples | table entries | chunk | poses | phase | predicted (GB) | measured (GB) | off |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    errors = []
    for changes, found in sorted(zip(drawn, measured, strict=True), key=lambda pair: pair[1]):
        predicted = peak_memory(changes, scene, "numba", "cpu")
        errors.append(predicted.total_bytes / 1e9 / found - 1)
        stages = "+".join(str(count) for count in changes["num_proposal_samples_per_ray"])
        cells = (
            changes["train_num_rays_per_batch"],
            f"{stages}+{changes['num_nerf_samples_per_ray']}",
            _entries(changes),
            changes["eval_num_rays_per_chunk"],
            changes["camera_opt_mode"],
            predicted.phase,
            f"{predicted.total_bytes / 1e9:.3f}",
            f"{found:.3f}",
            f"{100 * errors[-1]:+.1f}%",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    within = sum(abs(error) <= TOLERANCE for error in errors)
    lines += [
        "",
        f"{within} of {len(errors)} within {100 * TOLERANCE:.0f}%; measured from {min(measured):.3f} to "
        f"{max(measured):.3f} GB ({max(measured) / min(measured):.0f} times); mean of the absolute errors "
        f"{100 * statistics.fmean(map(abs, errors)):.1f}%, largest {100 * max(errors, key=abs):+.1f}%",
    ]
    return "\n".join(lines)


def _entries(changes: Mapping[str, Any]) -> str:
    return f"2^{changes['log2_hashmap_size']}, 2^{changes['feat_log2_hashmap_size']}"


def measure(parameters: Mapping[str, Any], how: How = "unbroken") -> dict[str, float]:
    """Metrics of a short training in a process of its own."""
    prepare_scene(build_config(parameters), load_scene(_SCENE))
    with TemporaryDirectory() as folder:
        if how == "unbroken":
            return _train(parameters, budget_steps=STEPS)
        found = _train(parameters, budget_steps=STEPS, checkpoint_dir=Path(folder))
        if how == "with a checkpoint":
            return found
        return _train(parameters, budget_steps=2 * STEPS, resume_from=Path(folder))


def _train(parameters: Mapping[str, Any], **arguments: Any) -> dict[str, float]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_metrics, args=(dict(parameters), arguments, sender))
    process.start()
    sender.close()
    try:
        return dict(receiver.recv())
    finally:
        process.join()


def _send_metrics(parameters: dict[str, Any], arguments: dict[str, Any], sender: Any) -> None:
    sender.send(dict(train(build_config(parameters), load_scene(_SCENE), **arguments).metrics))


def _plotted(part: str) -> str:
    return part if part in _COLORS else "other"


def _plot(drawn: list[dict[str, Any]], measured: list[float], scene: Scene, file: Path) -> None:
    from matplotlib.figure import Figure

    predictions = [peak_memory(changes, scene, "numba", "cpu") for changes in drawn]
    predicted = [one.total_bytes / 1e9 for one in predictions]
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    ends = [0.8 * min(measured + predicted), 1.25 * max(measured + predicted)]
    band = [[end * (1 - TOLERANCE) for end in ends], [end * (1 + TOLERANCE) for end in ends]]
    left.fill_between(ends, *band, color="#b8bec6", alpha=0.4, label=f"within {100 * TOLERANCE:.0f}%", linewidth=0)
    left.plot(ends, ends, color="#8a919b", linewidth=1)
    for phase, color in (("training step", _COLORS["gradients"]), ("evaluation", _COLORS["evaluation"])):
        points = [
            pair
            for pair, one in zip(zip(measured, predicted, strict=True), predictions, strict=True)
            if one.phase == phase
        ]
        if points:
            left.scatter(*zip(*points, strict=True), color=color, label=f"peak in {phase}", zorder=3)
    left.set(xscale="log", yscale="log", xlabel="measured (GB)", ylabel="predicted (GB)", xlim=ends, ylim=ends)
    left.set_aspect("equal")
    left.grid(alpha=0.3, which="both")
    left.legend(frameon=False)
    order = sorted(range(len(measured)), key=measured.__getitem__)[:: max(1, len(measured) // 8)]
    bottoms = [0.0] * len(order)
    for name, color in _COLORS.items():
        heights = [
            sum(size for part, size in predictions[index].parts.items() if _plotted(part) == name) / 1e9
            for index in order
        ]
        right.bar(range(len(order)), heights, bottom=bottoms, color=color, label=name, width=0.7)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    right.scatter(
        range(len(order)),
        [measured[index] for index in order],
        color="black",
        marker="_",
        s=320,
        label="measured",
        zorder=3,
    )
    right.set_xticks([])
    right.set(xlabel="some of them, by measured peak", ylabel="GB")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
