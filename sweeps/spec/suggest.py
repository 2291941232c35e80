"""A preset to start from, by how complex a scene is and how much memory the GPU has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import yaml

from f3rm_core import UsageError
from sweeps.spec.documents import suggestion
from sweeps.spec.memory import check_limit, memory_finding, predicted_memory_gb
from sweeps.spec.presets import ROOT_PRESET, Preset, resolve_preset

Complexity = Literal["simple", "complex", "very_complex"]
COMPLEXITIES: tuple[Complexity, ...] = get_args(Complexity)

_SCENES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "simple": (
        "one object in even light",
        {"max_res": 1024, "hidden_dim": 32, "feat_loss_weight": 1e-4},
    ),
    "complex": (
        "several objects, uneven light",
        {"max_res": 2048, "hidden_dim": 64, "feat_loss_weight": 1e-3},
    ),
    "very_complex": (
        "outdoors, or fine detail everywhere",
        {"max_res": 4096, "hidden_dim": 128, "feat_loss_weight": 2e-3},
    ),
}

# From so many GB on; the last that fits counts.
_MEMORY: tuple[tuple[float, str, Mapping[str, Any]], ...] = (
    (
        0.0,
        "less than 12 GB",
        {"max_res": 1024, "train_num_rays_per_batch": 4096, "log2_hashmap_size": 18, "mixed_precision": True},
    ),
    (
        12.0,
        "12 to 24 GB",
        {"max_res": 2048, "train_num_rays_per_batch": 8192, "log2_hashmap_size": 19, "mixed_precision": True},
    ),
    (
        24.0,
        "24 GB or more",
        {"max_res": 4096, "train_num_rays_per_batch": 16384, "log2_hashmap_size": 20, "mixed_precision": False},
    ),
)


@dataclass(frozen=True)
class Reason:
    """Why a parameter has its value.

    Args:
        parameter, value: what was chosen.
        rule: "scene" or "memory": the table that gave it.
        why: the row, and what it overruled.
    """

    parameter: str
    value: Any
    rule: Literal["scene", "memory"]
    why: str


@dataclass(frozen=True)
class Suggestion:
    """A preset and where each of its values comes from."""

    preset: Preset
    reasons: tuple[Reason, ...]

    def yaml(self) -> str:
        """A file that `load_preset` takes, each value with its reason."""
        lines = [
            *_head(self.preset),
            "parameters:",
            *(line for reason in self.reasons for line in (f"  # {reason.rule} rule: {reason.why}", _line(reason))),
        ]
        return "\n".join(lines) + "\n"


def suggest(scene_complexity: str, gpu_memory_gb: float) -> Suggestion:
    """The scene's rule gives what the scene needs, the memory's rule what the GPU can hold; where both name a
    parameter, the memory's value is a ceiling.

    Args:
        scene_complexity: one of COMPLEXITIES.
        gpu_memory_gb: of one GPU, GB.

    Raises:
        UsageError: no such complexity, or no such memory.
    """
    if scene_complexity not in _SCENES:
        raise UsageError(
            f"scene_complexity={scene_complexity!r}: no such complexity{suggestion(scene_complexity, COMPLEXITIES)}"
        )
    check_limit(gpu_memory_gb)
    looks, wanted = _SCENES[scene_complexity]
    _, size, held = next(row for row in reversed(_MEMORY) if row[0] <= gpu_memory_gb)
    scene_row, memory_row = f"{scene_complexity} scene ({looks})", f"a GPU of {size}"
    reasons = []
    for name, value in wanted.items():
        if name in held and held[name] < value:
            reasons.append(Reason(name, held[name], "memory", f"{memory_row}; the {scene_row} would take {value}"))
        else:
            reasons.append(Reason(name, value, "scene", scene_row))
    reasons += [Reason(name, value, "memory", memory_row) for name, value in held.items() if name not in wanted]
    trade_off = "Rules of thumb, not measured on your scene: sweep around it."
    document = {
        "name": f"suggested-{scene_complexity}-{gpu_memory_gb:g}gb",
        "base": ROOT_PRESET,
        "summary": f"A start for a {scene_row.replace('_', ' ')} on a GPU with {gpu_memory_gb:g} GB.",
        "parameters": {reason.parameter: reason.value for reason in reasons},
    }
    memory = _memory_text(resolve_preset(document).resolved, gpu_memory_gb)
    return Suggestion(resolve_preset({**document, "trade_off": f"{trade_off} {memory}"}), tuple(reasons))


def _memory_text(resolved: Mapping[str, Any], gpu_memory_gb: float) -> str:
    """What it is predicted to take with tinycudann, on a typical scene; where that is too much, what lowers it."""
    over = memory_finding(resolved, None, gpu_memory_gb, backend="tcnn", device="cuda")
    if over is not None:
        return f"It may not fit: {over}."
    predicted_gb = predicted_memory_gb(resolved, None, backend="tcnn", device="cuda")
    return f"Predicted to take {predicted_gb:.1f} GB (not measured)."


def _head(preset: Preset) -> list[str]:
    head = {"name": preset.name, "base": preset.base, "summary": preset.summary, "trade_off": preset.trade_off}
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000).splitlines()


def _line(reason: Reason) -> str:
    return "  " + yaml.safe_dump({reason.parameter: reason.value}).strip()
