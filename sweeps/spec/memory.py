"""Predicted peak memory of configurations: what a check shows, and what keeps a trial from being launched."""

from __future__ import annotations

import glob
import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from f3rm_core import InvalidParameter, PredictedMemory, Scene, SceneSize, UsageError, peak_memory, value_text
from sweeps.spec.finding import Finding

MEMORY_LIMIT = "memory-limit"
"""Id of the finding that a configuration takes more than it may."""
MAX_GPU_MEMORY_GB = 10_000.0
PEAK_MEMORY = "peak_memory_gb"

_HALVINGS = 6
_HALVED = (
    "train_num_rays_per_batch",
    "num_nerf_samples_per_ray",
    "num_proposal_samples_per_ray",
    "eval_num_rays_per_chunk",
)
_LOWERED = ("log2_hashmap_size", "feat_log2_hashmap_size")
"""A step down halves the table."""

Configuration = Mapping[str, Any]


@dataclass(frozen=True)
class Memory:
    """Predicted peak memory of a configuration, or over a space.

    Args:
        largest: of the configurations looked at, the prediction of the one that takes most.
        limit_gb: that they were held against; None: none.
        share_over: of the configurations, over the limit.
        finding: the first one over the limit, with what helps; None: there is none.
        peaks_gb: predicted of each configuration, as far as they can be.
    """

    largest: PredictedMemory
    limit_gb: float | None
    share_over: float
    finding: Finding | None
    peaks_gb: tuple[float, ...] = ()


def predicted_memory(
    configuration: Configuration,
    scene: Scene | SceneSize | None,
    *,
    backend: str | None = None,
    device: str | None = None,
) -> PredictedMemory:
    """See f3rm_core.peak_memory.

    Args:
        configuration: every parameter's value.
        scene: what is trained on; None: a typical one.
        backend: None: the configuration's, else the usual one of the device, with tinycudann only where it is
            installed.
        device: None: CUDA where this machine has a GPU.

    Raises:
        InvalidParameter: a backend that does not run on the device, or a feature model that nobody knows.
    """
    device = device or default_device()
    backend = backend or backend_of(configuration, device)
    return peak_memory(configuration, scene, backend, device)  # type: ignore[arg-type]  # it checks both


def predicted_memory_gb(
    configuration: Configuration,
    scene: Scene | SceneSize | None,
    *,
    backend: str | None = None,
    device: str | None = None,
) -> float:
    """The predicted peak, GB (1e9), as the metric peak_memory_gb measures it. Arguments as `predicted_memory`."""
    return predicted_memory(configuration, scene, backend=backend, device=device).total_bytes / 1e9


def memory_finding(
    configuration: Configuration,
    scene: Scene | SceneSize | None,
    limit_gb: float,
    *,
    backend: str | None = None,
    device: str | None = None,
) -> Finding | None:
    """An error if the configuration is predicted to take more than the limit, with what helps most.

    Args:
        configuration, scene, backend, device: as in `predicted_memory`.
        limit_gb: the most that it may take, GB (1e9).

    Raises:
        UsageError: a limit that is none.
    """
    check_limit(limit_gb)
    predicted = predicted_memory(configuration, scene, backend=backend, device=device)
    if predicted.total_bytes <= limit_gb * 1e9:
        return None
    part, size = predicted.parts.items()[0]
    words = "" if predicted.measured else " (not measured)"
    message = (
        f"predicted to take {_gb(predicted.total_bytes)} GB on {predicted.device} with {predicted.backend}{words}, "
        f"over the limit of {limit_gb:g} GB; {part} takes most, {_gb(size)} GB"
    )
    best = _best_change(configuration, scene, limit_gb, predicted)
    if best is None:
        return Finding(MEMORY_LIMIT, "error", 1.0, {}, message, "take a machine with more memory")
    name, value, lower = best
    enough = "" if lower <= limit_gb * 1e9 else ", still over the limit: lower others too"
    remedy = f"{name}={value_text(value)} helps most: {_gb(lower)} GB{enough}"
    return Finding(MEMORY_LIMIT, "error", 1.0, {name: configuration[name]}, message, remedy)


def breaks_limit(
    configuration: Configuration,
    scene: Scene | SceneSize | None,
    constraints: Mapping[str, float],
    *,
    device: str | None = None,
) -> bool:
    """Whether there is a `constraint_finding`, of which this takes no more than one prediction. Arguments as there."""
    if PEAK_MEMORY not in constraints:
        return False
    try:
        return predicted_memory(configuration, scene, device=device).total_bytes > constraints[PEAK_MEMORY] * 1e9
    except InvalidParameter:  # the rules, or the training, say what of it
        return False


def constraint_finding(
    configuration: Configuration,
    scene: Scene | SceneSize | None,
    constraints: Mapping[str, float],
    *,
    device: str | None = None,
) -> Finding | None:
    """Why a sweep's own limit on peak_memory_gb forbids a configuration, before it is trained; None where it has no
    such limit, or where nothing can be predicted.

    Args:
        configuration, scene, device: as in `predicted_memory`.
        constraints: metric -> limit.
    """
    if PEAK_MEMORY not in constraints:
        return None
    try:
        return memory_finding(configuration, scene, constraints[PEAK_MEMORY], device=device)
    except InvalidParameter:  # the rules, or the training, say what of it
        return None


def memory_of(
    configurations: Sequence[Configuration], scene: Scene | SceneSize | None, limit_gb: float | None
) -> Memory | None:
    """The largest prediction of several configurations. With a limit they are predicted for a GPU with tinycudann,
    without for this machine; None where none of them can be predicted.

    Raises:
        UsageError: a limit that is none.
    """
    place = {} if limit_gb is None else {"backend": "tcnn", "device": "cuda"}
    limit_bytes = float("inf")
    if limit_gb is not None:
        check_limit(limit_gb)
        limit_bytes = limit_gb * 1e9
    found: list[tuple[PredictedMemory, Configuration]] = []
    for configuration in configurations:
        try:
            found.append((predicted_memory(configuration, scene, **place), configuration))
        except InvalidParameter:  # the rules, or the training, say what of it
            continue
    if not found:
        return None
    over = [configuration for predicted, configuration in found if predicted.total_bytes > limit_bytes]
    finding = memory_finding(over[0], scene, limit_gb, **place) if over and limit_gb is not None else None
    largest = max((predicted for predicted, _ in found), key=lambda one: one.total_bytes)
    share = len(over) / len(configurations)
    peaks_gb = tuple(predicted.total_bytes / 1e9 for predicted, _ in found)
    return Memory(largest, limit_gb, share, replace(finding, share=share) if finding else None, peaks_gb)


def peaks_on_gpus(configurations: Iterable[Configuration], scene: Scene | SceneSize | None) -> list[float]:
    """Predicted peaks of configurations on this cluster's GPUs, GB, as far as they can be predicted."""
    found = []
    for configuration in configurations:
        with suppress(InvalidParameter):  # the rules, or the training, say what of it
            found.append(predicted_memory_gb(configuration, scene, device="cuda"))
    return found


def check_limit(limit_gb: float) -> None:
    """Raises UsageError for what is no amount of memory, NaN too."""
    if not 0 < limit_gb <= MAX_GPU_MEMORY_GB:
        remedy = f"give the memory of one GPU in GB, above 0 and at most {MAX_GPU_MEMORY_GB:g}"
        raise UsageError(f"gpu_memory_gb={limit_gb:g}: {remedy}")


def default_device() -> str:
    """ "cuda" where this machine shows a GPU, else "cpu"; asks no driver and loads no torch."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return "cuda" if glob.glob("/dev/nvidia[0-9]*") and not hidden else "cpu"


def backend_of(configuration: Configuration, device: str) -> str:
    """What its encodings run on: its own backend, else the usual one of the device as far as this machine has it."""
    wanted = configuration.get("encoding_backend", "auto")
    if wanted != "auto":
        return str(wanted)
    if device == "cpu":
        return "numba"
    return "tcnn" if importlib.util.find_spec("tinycudann") else "reference"


def _best_change(
    configuration: Configuration, scene: Scene | SceneSize | None, limit_gb: float, now: PredictedMemory
) -> tuple[str, Any, int] | None:
    """The change of one parameter that gets under the limit in the fewest steps, else the one that lowers most: name,
    value, predicted bytes. None: nothing lowers it."""
    found = [
        (sum(predicted > limit_gb * 1e9 for _, predicted in tried), predicted, name, value)
        for name in (*_HALVED, *_LOWERED, "mixed_precision")
        if (tried := list(_tries(configuration, scene, name, limit_gb, now)))
        for value, predicted in tried[-1:]
    ]
    fitting = [one for one in found if one[1] <= limit_gb * 1e9]
    if fitting:
        _, predicted, name, value = min(fitting, key=lambda one: one[:2])
    elif found:
        _, predicted, name, value = min(found, key=lambda one: one[1])
    else:
        return None
    return name, value, predicted


def _tries(
    configuration: Configuration, scene: Scene | SceneSize | None, name: str, limit_gb: float, now: PredictedMemory
) -> Iterator[tuple[Any, int]]:
    """Ever lower values of one parameter with their predicted bytes, until one fits or none helps."""
    value, before = configuration[name], now.total_bytes
    for _ in range(_HALVINGS):
        value = _lower(name, value)
        if value is None:
            return
        predicted = peak_memory({**configuration, name: value}, scene, now.backend, now.device).total_bytes
        if predicted >= before:
            return
        yield value, predicted
        if predicted <= limit_gb * 1e9:
            return
        before = predicted


def _lower(name: str, value: Any) -> Any:
    """The next lower value; None: there is none that makes sense."""
    if name == "mixed_precision":
        return None if value else True
    if name in _LOWERED:
        return value - 1 if value > 14 else None
    if isinstance(value, list | tuple):
        return [count // 2 for count in value] if min(value) >= 16 else None
    return value // 2 if value >= 16 else None


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.3g}"
