"""The documented parameters: name, type, bounds, and the places in the config tree. Plain data, no torch.

A preset, a sweep and the command line speak these flat names. `place(...)` paths lead from the
F3RMTrainerConfig to attributes and dictionary keys.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from f3rm_core.errors import InvalidParameter

Kind = Literal["int", "float", "bool", "str", "ints"]

SAME_RESULT = "it changes no result"
_MODEL = "pipeline.model"
_DATA = "pipeline.datamanager"
_GROUPS = ("fields", "feature_field", "proposal_networks")


@dataclass(frozen=True)
class Parameter:
    """One documented parameter.

    Args:
        name: the documented, flat name.
        kind: type of its value; "ints" is a list of integers.
        default: F3RM's documented default. None for a suffixed name that follows the flat one (`lr_fields`).
        places: where it goes in the config tree, dotted; several for a flat name such as `lr`.
        part: the part of the system that it belongs to.
        summary: one sentence.
        low, high: inclusive hard bounds of what can work (not a sweep's range).
        choices: the values that a "str" may take; empty: any.
        not_sweepable: why a sweep must not vary it; empty: it may.
    """

    name: str
    kind: Kind
    default: Any
    places: tuple[str, ...]
    part: str
    summary: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    not_sweepable: str = ""

    @property
    def changes_result(self) -> bool:
        """Whether the trained model depends on it."""
        return self.not_sweepable != SAME_RESULT

    def check(self, value: object) -> Any:
        """Return the value in the parameter's own type.

        Raises:
            InvalidParameter: with name, value and remedy.
        """
        if self.kind == "ints":
            if not isinstance(value, list | tuple) or not value:
                raise InvalidParameter(self.name, value, "give a list of integers, such as [256, 96]")
            return tuple(self._check_number(item, integer=True, whole=value) for item in value)
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise InvalidParameter(self.name, value, "give true or false")
            return value
        if self.kind == "str":
            if not isinstance(value, str):
                raise InvalidParameter(self.name, value, "give a text")
            if self.choices and value not in self.choices:
                raise InvalidParameter(self.name, value, f"give one of {', '.join(self.choices)}")
            return value
        return self._check_number(value, integer=self.kind == "int", whole=value)

    def _check_number(self, value: object, *, integer: bool, whole: object) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            wanted = "an integer" if integer else "a number"
            # YAML 1.1 reads 1e-3 as a text: the likeliest cause deserves the hint.
            hint = " (in YAML write 1.0e-3, not 1e-3)" if isinstance(value, str) and _is_float(value) else ""
            raise InvalidParameter(self.name, whole, f"give {wanted}{hint}")
        if not math.isfinite(value):
            raise InvalidParameter(self.name, whole, "must be finite")
        if integer and value != int(value):
            raise InvalidParameter(self.name, whole, "give an integer")
        if self.low is not None and value < self.low:
            raise InvalidParameter(self.name, whole, f"must be at least {self.low:g}")
        if self.high is not None and value > self.high:
            raise InvalidParameter(self.name, whole, f"must be at most {self.high:g}")
        return int(value) if integer else float(value)


def check_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Check names, types, bounds, and what must hold between parameters.

    Args:
        parameters: flat name -> value; what is absent has its default.

    Returns:
        The same names, values in their own types.

    Raises:
        InvalidParameter: the first thing wrong, with name, value and remedy.
    """
    checked = {}
    for name, value in parameters.items():
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, n=1)
            hint = f"did you mean {near[0]}?" if near else "`f3rm-sweeps presets show f3rm_default` lists the names"
            raise InvalidParameter(name, value, f"no such parameter; {hint}")
        checked[name] = PARAMETERS[name].check(value)

    def get(name: str) -> Any:
        return checked.get(name, PARAMETERS[name].default)

    for top, bottom in (("max_res", "base_res"), ("feat_max_res", "feat_start_res")):
        if get(top) < get(bottom):
            raise InvalidParameter(top, get(top), f"must be at least {bottom} ({get(bottom)})")
    stages = get("num_proposal_samples_per_ray")
    if len(stages) != get("num_proposal_iterations"):
        raise InvalidParameter(
            "num_proposal_samples_per_ray",
            list(stages),
            f"give one count for each of the {get('num_proposal_iterations')} num_proposal_iterations",
        )
    return checked


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _int(
    name: str, default: int, place: str, part: str, low: float, high: float, summary: str, **more: Any
) -> Parameter:
    return Parameter(name, "int", default, (f"{place}.{name}".lstrip("."),), part, summary, low, high, **more)


def _float(
    name: str, default: float, place: str, part: str, low: float, high: float | None, summary: str, **more: Any
) -> Parameter:
    return Parameter(name, "float", default, (f"{place}.{name}".lstrip("."),), part, summary, low, high, **more)


def _bool(name: str, default: bool, place: str, part: str, summary: str, **more: Any) -> Parameter:
    return Parameter(name, "bool", default, (f"{place}.{name}".lstrip("."),), part, summary, **more)


def _str(name: str, default: str, place: str, part: str, summary: str, **more: Any) -> Parameter:
    return Parameter(name, "str", default, (f"{place}.{name}".lstrip("."),), part, summary, **more)


def _per_group(name: str, default: float, attribute: str, kind: Kind, low: float, summary: str) -> list[Parameter]:
    """A flat name over all field optimizers, and one suffixed name for each."""
    places = tuple(f"optimizers.{group}.{attribute}" for group in _GROUPS)
    flat = Parameter(name, kind, default, places, "schedule", summary, low)
    suffixed = [
        Parameter(f"{name}_{group}", kind, None, (place,), "schedule", f"{name} of {group} alone.", low)
        for group, place in zip(_GROUPS, places, strict=True)
    ]
    return [flat, *suffixed]


_OTHER_METRIC = "metrics of different feature models can't be compared"
_OTHER_VIEWS = "metrics on different held-out pixels can't be compared"
_REPEAT = "a seed is no hyperparameter: repeat a configuration instead"

_ALL: list[Parameter] = [
    _int("num_levels", 16, _MODEL, "radiance grid", 1, 32, "Levels of the radiance hash grid."),
    _int("base_res", 16, _MODEL, "radiance grid", 1, 1024, "Coarsest resolution of the radiance grid."),
    _int("max_res", 2048, _MODEL, "radiance grid", 1, 65536, "Finest resolution of the radiance grid."),
    _int("log2_hashmap_size", 19, _MODEL, "radiance grid", 10, 24, "Entries of a level, as a power of two."),
    _int("features_per_level", 2, _MODEL, "radiance grid", 1, 8, "Features of an entry."),
    _int("feat_num_levels", 12, _MODEL, "feature grid", 1, 32, "Levels of the feature hash grid."),
    _int("feat_start_res", 16, _MODEL, "feature grid", 1, 1024, "Coarsest resolution of the feature grid."),
    _int("feat_max_res", 128, _MODEL, "feature grid", 1, 65536, "Finest resolution of the feature grid."),
    _int("feat_log2_hashmap_size", 19, _MODEL, "feature grid", 10, 24, "Entries of a level, as a power of two."),
    _int("feat_features_per_level", 8, _MODEL, "feature grid", 1, 8, "Features of an entry."),
    _int("hidden_dim", 64, _MODEL, "radiance MLP", 1, 1024, "Width of the geometry MLP."),
    _int("hidden_dim_color", 64, _MODEL, "radiance MLP", 1, 1024, "Width of the colour MLP."),
    _int("num_layers", 2, _MODEL, "radiance MLP", 1, 16, "Depth of the geometry MLP."),
    _int("num_layers_color", 3, _MODEL, "radiance MLP", 1, 16, "Depth of the colour MLP."),
    _int("appearance_embed_dim", 32, _MODEL, "radiance MLP", 1, 256, "Width of the embedding of each image."),
    _bool("use_appearance_embedding", True, _MODEL, "radiance MLP", "Let each image have its own exposure."),
    _int("feat_hidden_dim", 64, _MODEL, "feature MLP", 1, 1024, "Width of the feature MLP."),
    _int("feat_num_layers", 2, _MODEL, "feature MLP", 1, 16, "Hidden layers of the feature MLP."),
    _bool("feat_use_pe", True, _MODEL, "feature MLP", "Add a positional encoding to the feature grid's output."),
    _int("feat_pe_n_freq", 6, _MODEL, "feature MLP", 1, 16, "Frequency bands of the positional encoding."),
    _float("feat_loss_weight", 1e-3, _MODEL, "losses", 0.0, None, "Weight of the feature loss."),
    _bool("feat_detach_weights", False, _MODEL, "losses", "Keep the feature loss from changing density, as in LERF."),
    _bool("predict_normals", False, _MODEL, "losses", "Predict normals; turns the two normal losses on."),
    _float("orientation_loss_mult", 1e-4, _MODEL, "losses", 0.0, None, "Weight of normals that face away."),
    _float("pred_normal_loss_mult", 1e-3, _MODEL, "losses", 0.0, None, "Weight of predicted against density normals."),
    _float("interlevel_loss_mult", 1.0, _MODEL, "losses", 0.0, None, "Weight of the proposal networks' loss."),
    _float("distortion_loss_mult", 0.002, _MODEL, "losses", 0.0, None, "Weight of compact densities along a ray."),
    _int("train_num_rays_per_batch", 8192, _DATA, "sampling", 1, 1 << 20, "Rays of a training step."),
    _int(
        "eval_num_rays_per_batch",
        4096,
        _DATA,
        "sampling",
        1,
        1 << 20,
        "Rays of an evaluation batch while training.",
        not_sweepable=SAME_RESULT,
    ),
    Parameter(
        "num_proposal_samples_per_ray",
        "ints",
        (256, 96),
        (f"{_MODEL}.num_proposal_samples_per_ray",),
        "sampling",
        "Samples of each proposal stage.",
        1,
        4096,
    ),
    _int("num_nerf_samples_per_ray", 48, _MODEL, "sampling", 1, 4096, "Samples of the radiance and feature fields."),
    _int("num_proposal_iterations", 2, _MODEL, "sampling", 1, 4, "Stages of proposal sampling."),
    _int("proposal_update_every", 5, _MODEL, "sampling", 1, 1000, "Steps between proposal updates after warm-up."),
    _int("proposal_warmup", 5000, _MODEL, "sampling", 1, 1_000_000, "Steps until updates are that rare."),
    _int(
        "proposal_weights_anneal_max_num_iters",
        1000,
        _MODEL,
        "sampling",
        1,
        1_000_000,
        "Steps over which proposal weights are sharpened.",
    ),
    *_per_group("lr", 1e-2, "optimizer.lr", "float", 0.0, "Learning rate of the fields (not of the cameras)."),
    *_per_group("eps", 1e-15, "optimizer.eps", "float", 0.0, "Adam's epsilon."),
    *_per_group("lr_final", 1e-4, "scheduler.lr_final", "float", 0.0, "Learning rate at the schedule's end."),
    *_per_group("lr_max_steps", 200_000, "scheduler.max_steps", "int", 1, "Steps over which the rate decays."),
    _int("max_num_iterations", 30_000, "", "schedule", 1, 10_000_000, "Training steps."),
    _int(
        "steps_per_eval_batch",
        500,
        "",
        "schedule",
        1,
        10_000_000,
        "Steps between evaluation batches.",
        not_sweepable=SAME_RESULT,
    ),
    _int(
        "steps_per_save", 5000, "", "schedule", 1, 10_000_000, "Steps between checkpoints.", not_sweepable=SAME_RESULT
    ),
    _int("eval_num_rays_per_chunk", 1 << 14, _MODEL, "memory", 1, 1 << 20, "Rays rendered at once."),
    Parameter(
        "viewer_num_rays_per_chunk",
        "int",
        1 << 15,
        ("viewer.num_rays_per_chunk",),
        "memory",
        "Rays rendered at once in the viewer.",
        1,
        1 << 20,
        not_sweepable=SAME_RESULT,
    ),
    _bool("mixed_precision", True, "", "memory", "Train in half precision on CUDA; no effect on the CPU."),
    Parameter(
        "gradient_accumulation_steps",
        "int",
        1,
        tuple(f"gradient_accumulation_steps.{group}" for group in (*_GROUPS, "camera_opt")),
        "memory",
        "Backward passes whose gradients are added before an optimizer's step.",
        1,
        1024,
    ),
    _str(
        "feature_type",
        "CLIP",
        _DATA,
        "features",
        "Kind of feature model.",
        choices=("CLIP",),
        not_sweepable=_OTHER_METRIC,
    ),
    _str(
        "clip_model",
        "ViT-L-14-336-quickgelu",
        _DATA,
        "features",
        "open_clip's name of the model.",
        not_sweepable=_OTHER_METRIC,
    ),
    _str(
        "clip_pretrained",
        "openai",
        _DATA,
        "features",
        "Weights: an open_clip tag, a file, or `embedded`.",
        not_sweepable=_OTHER_METRIC,
    ),
    _int(
        "feature_image_size",
        0,
        _DATA,
        "features",
        0,
        8192,
        "Long side of the images given to the model, pixels; 0 keeps their own size.",
        not_sweepable=_OTHER_METRIC,
    ),
    _bool("enable_cache", True, _DATA, "features", "Keep extracted features on disk.", not_sweepable=SAME_RESULT),
    _float(
        "camera_res_scale_factor", 1.0, _DATA, "scene", 0.01, 1.0, "Scale of the images.", not_sweepable=_OTHER_VIEWS
    ),
    Parameter(
        "train_split_fraction",
        "float",
        0.9,
        (f"{_DATA}.dataparser.train_split_fraction",),
        "scene",
        "Share of the views trained on, where the scene names no split.",
        0.05,
        0.99,
        not_sweepable=_OTHER_VIEWS,
    ),
    Parameter(
        "camera_opt_mode",
        "str",
        "SO3xR3",
        (f"{_MODEL}.camera_optimizer.mode",),
        "camera",
        "How camera poses are refined.",
        choices=("off", "SO3xR3", "SE3"),
    ),
    Parameter(
        "lr_camera_opt",
        "float",
        6e-4,
        ("optimizers.camera_opt.optimizer.lr",),
        "camera",
        "Learning rate of the camera poses.",
        0.0,
    ),
    Parameter(
        "eps_camera_opt",
        "float",
        1e-8,
        ("optimizers.camera_opt.optimizer.eps",),
        "camera",
        "Adam's epsilon for the camera poses.",
        0.0,
    ),
    Parameter(
        "weight_decay_camera_opt",
        "float",
        1e-2,
        ("optimizers.camera_opt.optimizer.weight_decay",),
        "camera",
        "Weight decay of the camera poses.",
        0.0,
    ),
    Parameter(
        "seed",
        "int",
        0,
        ("machine.seed",),
        "seeding",
        "Seed of everything random.",
        0,
        2**31 - 1,
        not_sweepable=_REPEAT,
    ),
    _bool(
        "enable_comprehensive_seeding", True, "", "seeding", "Seed every source of randomness.", not_sweepable=_REPEAT
    ),
    _bool("seed_deterministic_algorithms", True, "", "seeding", "Use deterministic algorithms.", not_sweepable=_REPEAT),
    _bool(
        "seed_warn_only",
        False,
        "",
        "seeding",
        "Warn of non-deterministic operations instead of failing.",
        not_sweepable=_REPEAT,
    ),
    _bool("seed_cublas_workspace", True, "", "seeding", "Give cuBLAS a fixed workspace.", not_sweepable=_REPEAT),
    _bool("print_seed_info", True, "", "seeding", "Log what was seeded.", not_sweepable=SAME_RESULT),
    _int(
        "threads",
        0,
        "",
        "machine",
        0,
        1024,
        "CPU threads; 0: all cores. Part of what fixes the bits.",
        not_sweepable=SAME_RESULT,
    ),
    _str(
        "encoding_backend",
        "auto",
        _MODEL,
        "machine",
        "Implementation of the hash grids.",
        choices=("auto", "numba", "reference", "tcnn"),
        not_sweepable=SAME_RESULT,
    ),
]

PARAMETERS: Mapping[str, Parameter] = MappingProxyType({parameter.name: parameter for parameter in _ALL})
