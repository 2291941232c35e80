"""The table of all documented parameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from f3rm_core.parameter import SAME_RESULT, Kind, Parameter

_MODEL = "pipeline.model"
_DATA = "pipeline.datamanager"
_GROUPS = ("fields", "feature_field", "proposal_networks")


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
        choices=("CLIP", "DINO"),
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
    _str(
        "dino_model",
        "vit_small_patch8_224_dino",
        _DATA,
        "features",
        "timm's name of the DINO model.",
        choices=(
            "vit_small_patch16_224_dino",
            "vit_small_patch8_224_dino",
            "vit_base_patch16_224_dino",
            "vit_base_patch8_224_dino",
        ),
        not_sweepable=_OTHER_METRIC,
    ),
    _str(
        "dino_pretrained",
        "hub",
        _DATA,
        "features",
        "DINO weights: `hub` or a file.",
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
