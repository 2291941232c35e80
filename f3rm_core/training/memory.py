"""Peak memory of a training run, worked out before it starts. Plain arithmetic on the configuration: no torch.

The step and the evaluation are replayed tensor by tensor (`memory_steps`) on a heap that behaves as the allocator does
(`memory_heap`). How well that holds, and what it leaves out: docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

from f3rm_core.encodings.spec import GridSpec
from f3rm_core.errors import InvalidParameter
from f3rm_core.features.extractor import map_shape
from f3rm_core.features.settings import FeatureSettings
from f3rm_core.features.sizes import FeatureSize, feature_size
from f3rm_core.parameters import PARAMETERS
from f3rm_core.scenes.images import scaled_size
from f3rm_core.scenes.load import Scene, held_out_views
from f3rm_core.training.memory_heap import Heap
from f3rm_core.training.memory_steps import RAW, Work, evaluation, training_step

Phase = Literal["training step", "evaluation"]
Backend = Literal["numba", "reference", "tcnn"]
Device = Literal["cpu", "cuda"]

BACKENDS: Mapping[Device, tuple[Backend, ...]] = {"cpu": ("numba", "reference"), "cuda": ("tcnn", "reference")}
"""What runs on a device, the usual one first."""

_PROPOSAL_NETWORKS = ((5, 128), (5, 256))
"""Levels and finest resolution of nerfacto's proposal grids; the last one stands for all stages that follow."""
_PROPOSAL_BASE_RES, _PROPOSAL_LOG2_HASHMAP_SIZE, _PROPOSAL_HIDDEN = 16, 17, 16
_OF_RAY = 16
"""Numbers that describe a ray's direction to the colour MLP."""
_PIXEL_BYTES = 20
"""Direction, area and norm of a pixel's ray, kept for the views trained on and for those held out."""
_PROCESS_BYTES = 8_000_000
"""Python's own objects of a run: cameras, modules, optimizers. Measured on runs too small to hold anything else."""
_DRIFT = 0.08
"""By how much the heap of a step grows in later steps: small tensors that live on come to lie elsewhere, and the large
ones no longer fit where they did. Measured, as the one above."""


@dataclass(frozen=True)
class SceneSize:
    """What of a scene decides memory.

    Args:
        width, height: of an image, pixels.
        images: all of them.
        held_out: those that are scored; None: the share that `train_split_fraction` leaves.
    """

    width: int
    height: int
    images: int
    held_out: int | None = None


TYPICAL_SCENE = SceneSize(1280, 720, 100, 10)
"""Taken where there is no scene: a hundred frames of a phone's video, ten of them held out."""


@dataclass(frozen=True)
class MemoryParts:
    """What memory holds at the peak, bytes.

    Args:
        parameters: of all fields, float32.
        optimizer: Adam's two moments of each.
        gradients: of each parameter, and what of them is on its way.
        batch: rays of a step with their colours and features.
        proposal_samples: what the proposal stages' backward pass waits for.
        radiance_samples: the same of the radiance field.
        feature_samples: the same of the feature field.
        feature_head: rendered hidden features, features, and their gradients.
        evaluation: a chunk of rays, a view's picture, or all views' features, whichever is largest.
        scene: a direction for each pixel. Images and feature maps are mapped into memory, not held; but held on the CPU
            where `enable_cache` is false.
        workspace: tiny-cuda-nn's own memory. PyTorch does not count it, so it is not in peak_memory_gb.
        process: Python's objects.
        free: memory that the C library keeps between what is used.
    """

    parameters: int = 0
    optimizer: int = 0
    gradients: int = 0
    batch: int = 0
    proposal_samples: int = 0
    radiance_samples: int = 0
    feature_samples: int = 0
    feature_head: int = 0
    evaluation: int = 0
    scene: int = 0
    workspace: int = 0
    process: int = 0
    free: int = 0

    def items(self) -> list[tuple[str, int]]:
        """Name in words and bytes of each part that takes any, the largest first."""
        named = [(field.name.replace("_", " "), int(getattr(self, field.name))) for field in fields(self)]
        return sorted(((name, size) for name, size in named if size), key=lambda one: -one[1])


@dataclass(frozen=True)
class PredictedMemory:
    """A run's predicted peak.

    Args:
        backend, device: what it was predicted for.
        phase: in which of the two the peak is.
        parts: what memory holds then.
        training_step_bytes, evaluation_bytes: highest in each phase.
        mapped_bytes: images and feature maps, mapped from disk and shared by all trials of a machine: not in the total;
            0 where they are held.
        measured: whether predictions of this kind were held against measurements (docs/memory.md).
    """

    backend: Backend
    device: Device
    phase: Phase
    parts: MemoryParts
    training_step_bytes: int
    evaluation_bytes: int
    mapped_bytes: int
    measured: bool

    @property
    def total_bytes(self) -> int:
        """The peak: the sum of the parts."""
        return max(self.training_step_bytes, self.evaluation_bytes)


def peak_memory(
    config: Mapping[str, Any], scene: Scene | SceneSize | None, backend: Backend, device: Device
) -> PredictedMemory:
    """Predict a run's peak memory: on the CPU private bytes of the process above those before the run, on CUDA bytes in
    use, without the CUDA context and what PyTorch keeps in reserve.

    Args:
        config: flat parameters, checked; what is absent has its default.
        scene: what is trained on; None: `TYPICAL_SCENE`.
        backend: of the hash grids.
        device: where it runs.

    Raises:
        InvalidParameter: the backend does not run on the device, or a grid or a feature model can't work.
    """
    if backend not in BACKENDS.get(device, ()):
        known = " or ".join(f"{one} on {place}" for place, ones in BACKENDS.items() for one in ones)
        raise InvalidParameter("encoding_backend", backend, f"there is no prediction for it on {device}; take {known}")
    values = {**{name: parameter.default for name, parameter in PARAMETERS.items()}, **config}
    size = _size_of(scene)
    features = _feature_size(values)
    work = _work(values, size, features, backend, device)
    heap = Heap(keeps=device == "cpu")
    numbers = _grid_numbers(work) + _network_numbers(values, work, size)
    for part, bytes_a_number in (("parameters", 4), ("optimizer", 8), ("gradients", 4)):
        heap.take(part, numbers * bytes_a_number)
    scene_bytes = work.pixels * _PIXEL_BYTES * 2
    mapped_bytes = size.images * (work.pixels * 3 + work.patches * work.channels * 2)
    if device == "cpu" and not values["enable_cache"]:
        scene_bytes, mapped_bytes = scene_bytes + mapped_bytes, 0
    heap.take("scene", scene_bytes)
    if work.style == "tcnn-half":
        heap.take("parameters", _grid_numbers(work) * 2)  # laid out anew for each call, and kept for its backward pass
    heap.take("process", _PROCESS_BYTES if device == "cpu" else 0)
    held = heap.resident_bytes
    training_step(heap, work)
    drift = _DRIFT * (heap.peak_bytes - held) if device == "cpu" else 0.0
    trained, at_peak = heap.peak_bytes + int(drift), heap.at_peak
    heap.give_back()
    heap.forget_peak()
    evaluation(heap, work)
    evaluated = heap.peak_bytes
    phase: Phase = "training step" if trained >= evaluated else "evaluation"
    at_peak = at_peak if phase == "training step" else heap.at_peak
    total = max(trained, evaluated)
    parts = {part.replace(" ", "_"): taken for part, taken in at_peak.items()}
    return PredictedMemory(
        backend,
        device,
        phase,
        MemoryParts(**parts, free=total - sum(at_peak.values())),
        trained,
        evaluated,
        mapped_bytes,
        measured=device == "cpu" and backend == "numba",
    )


def _size_of(scene: Scene | SceneSize | None) -> SceneSize:
    if scene is None:
        return TYPICAL_SCENE
    if isinstance(scene, SceneSize):
        return scene
    held_out = len(scene.eval_images) if scene.eval_images else None
    return SceneSize(scene.width, scene.height, len(scene.images), held_out)


def _feature_size(values: Mapping[str, Any]) -> FeatureSize:
    names = {field.name for field in fields(FeatureSettings)}
    found = feature_size(FeatureSettings(**{name: value for name, value in values.items() if name in names}))
    if found is None:
        raise InvalidParameter("clip_model", values["clip_model"], "open_clip has no such model")
    return found


def _work(values: Mapping[str, Any], size: SceneSize, features: FeatureSize, backend: Backend, device: Device) -> Work:
    half = device == "cuda" and values["mixed_precision"]
    width, height = scaled_size(size.width, size.height, values["camera_res_scale_factor"])
    rows, columns = map_shape(
        size.width, size.height, patch_size=features.patch_size, long_side=values["feature_image_size"]
    )
    stages = values["num_proposal_iterations"]
    return Work(
        style="tcnn-half" if backend == "tcnn" and half else backend,
        half=half,
        cuda=device == "cuda",
        poses=values["camera_opt_mode"] != "off",
        accumulates=values["gradient_accumulation_steps"] > 1,
        rays=values["train_num_rays_per_batch"],
        chunk=values["eval_num_rays_per_chunk"],
        counts=tuple(values["num_proposal_samples_per_ray"]),
        samples=values["num_nerf_samples_per_ray"],
        radiance=_grid(values, ""),
        features=_grid(values, "feat_"),
        proposals=tuple(_proposal_grid(stage) for stage in range(stages)),
        proposal_widths=((_PROPOSAL_HIDDEN, 1),) * stages,
        geometry_widths=(*[values["hidden_dim"]] * (values["num_layers"] - 1), RAW),
        color_widths=(*[values["hidden_dim_color"]] * (values["num_layers_color"] - 1), 3),
        feature_widths=(values["feat_hidden_dim"],) * values["feat_num_layers"],
        frequencies=values["feat_pe_n_freq"] if values["feat_use_pe"] else 0,
        channels=features.channels,
        pixels=width * height,
        patches=rows * columns,
        held_out=held_out_views(size.images, values["train_split_fraction"])
        if size.held_out is None
        else size.held_out,
    )


def _grid(values: Mapping[str, Any], prefix: str) -> GridSpec:
    base = values["feat_start_res" if prefix else "base_res"]
    names = ("num_levels", "max_res", "log2_hashmap_size", "features_per_level")
    levels, max_res, log2_hashmap_size, features = (values[prefix + name] for name in names)
    return _spec(levels, base, max_res, log2_hashmap_size, features)


def _proposal_grid(stage: int) -> GridSpec:
    levels, max_res = _PROPOSAL_NETWORKS[min(stage, len(_PROPOSAL_NETWORKS) - 1)]
    return _spec(levels, _PROPOSAL_BASE_RES, max_res, _PROPOSAL_LOG2_HASHMAP_SIZE, 2)


@lru_cache(maxsize=1024)
def _spec(num_levels: int, base_res: int, max_res: int, log2_hashmap_size: int, features_per_level: int) -> GridSpec:
    """A space is predicted hundreds of times, on few grids."""
    return GridSpec(num_levels, base_res, max_res, log2_hashmap_size, features_per_level)


def _grid_numbers(work: Work) -> int:
    return sum(grid.num_parameters for grid in (work.radiance, work.features, *work.proposals))


def _network_numbers(values: Mapping[str, Any], work: Work, size: SceneSize) -> int:
    """Numbers in the weight matrices, the images' embeddings and the camera poses."""
    views = size.images - work.held_out
    embedding = values["appearance_embed_dim"] if values["use_appearance_embedding"] else 0
    of_features = work.features.output_dim + 6 * work.frequencies
    chains = [
        (work.radiance.output_dim, *work.geometry_widths),
        (_OF_RAY + embedding + RAW - 1, *work.color_widths),
        (of_features, *work.feature_widths, work.channels),
        *((grid.output_dim, *widths) for grid, widths in zip(work.proposals, work.proposal_widths, strict=True)),
    ]
    matrices = sum(rows * columns for chain in chains for rows, columns in pairwise(chain))
    return matrices + views * (embedding + 6 * work.poses)
