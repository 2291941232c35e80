"""The configuration tree of F3RM, from flat parameters, and its registration as nerfstudio method `f3rm`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.models.nerfacto import NerfactoModelConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

from f3rm_core.errors import InvalidParameter
from f3rm_core.model.f3rm import FeatureFieldModel
from f3rm_core.parameters import PARAMETERS, check_parameters
from f3rm_core.scenes.datamanager import FeatureDataManager
from f3rm_core.training.nerfstudio_trainer import F3RMTrainer

METHOD_NAME = "f3rm"


@dataclass
class FeatureFieldModelConfig(NerfactoModelConfig):
    """Nerfacto's fields with their documented defaults, and the feature field's."""

    _target: type = field(default_factory=lambda: FeatureFieldModel)
    eval_num_rays_per_chunk: int = 1 << 14
    num_layers: int = 2
    """Depth of the geometry MLP: weight matrices."""
    num_layers_color: int = 3
    """Depth of the colour MLP: weight matrices."""
    feat_loss_weight: float = 1e-3
    feat_detach_weights: bool = False
    """Keep the feature loss from reaching density through the rendering weights."""
    feat_use_pe: bool = True
    feat_pe_n_freq: int = 6
    feat_num_levels: int = 12
    feat_start_res: int = 16
    feat_max_res: int = 128
    feat_log2_hashmap_size: int = 19
    feat_features_per_level: int = 8
    feat_hidden_dim: int = 64
    feat_num_layers: int = 2
    """Hidden layers of the feature MLP."""
    encoding_backend: Literal["auto", "numba", "reference", "tcnn"] = "auto"

    def __post_init__(self) -> None:
        # What nerfacto offers and this model does not do is refused, not ignored.
        for name, kept in (
            ("predict_normals", False),
            ("disable_scene_contraction", False),
            ("use_gradient_scaling", False),
            ("use_same_proposal_network", False),
            ("proposal_initial_sampler", "piecewise"),
            ("background_color", "last_sample"),
            ("use_single_jitter", True),
            ("use_average_appearance_embedding", True),
        ):
            value = getattr(self, name)
            if value != kept:
                raise InvalidParameter(name, value, f"not supported; leave it at {kept!r}")
        if self.implementation != "tcnn":
            remedy = "has no effect here; leave it at 'tcnn' and give encoding_backend"
            raise InvalidParameter("implementation", self.implementation, remedy)


@dataclass
class FeatureDataManagerConfig(VanillaDataManagerConfig):
    """Images, rays and feature maps of a scene in nerfstudio's format."""

    _target: type = field(default_factory=lambda: FeatureDataManager)
    # The base type: tyro would offer every data parser of nerfstudio as a subcommand otherwise.
    # Factor 1: it would take the smaller copies in images_2 for wide images; ours is camera_res_scale_factor.
    dataparser: DataParserConfig = field(default_factory=lambda: NerfstudioDataParserConfig(downscale_factor=1))
    train_num_rays_per_batch: int = 8192
    eval_num_rays_per_batch: int = 4096
    feature_type: Literal["CLIP", "DINO"] = "CLIP"
    clip_model: str = "ViT-L-14-336-quickgelu"
    clip_pretrained: str = "openai"
    dino_model: str = "vit_small_patch8_224_dino"
    dino_pretrained: str = "hub"
    feature_image_size: int = 0
    enable_cache: bool = True
    cache_dir: Path | None = None
    """Folder of the feature cache; None: the user's cache folder, or F3RM_CACHE_DIR."""

    def __post_init__(self) -> None:
        if self.dataparser.downscale_factor != 1:
            remedy = "not supported; leave it at 1 and give camera_res_scale_factor"
            raise InvalidParameter("downscale_factor", self.dataparser.downscale_factor, remedy)


def _optimizers() -> dict[str, Any]:
    def entry() -> dict[str, Any]:
        return {
            "optimizer": AdamOptimizerConfig(lr=1e-2, eps=1e-15),
            "scheduler": ExponentialDecaySchedulerConfig(lr_final=1e-4, max_steps=200_000),
        }

    return {
        "proposal_networks": entry(),
        "fields": entry(),
        "feature_field": entry(),
        "camera_opt": {"optimizer": AdamOptimizerConfig(lr=6e-4, eps=1e-8, weight_decay=1e-2), "scheduler": None},
    }


@dataclass
class F3RMTrainerConfig(TrainerConfig):
    """One training run."""

    _target: type = field(default_factory=lambda: F3RMTrainer)
    method_name: str | None = METHOD_NAME
    max_num_iterations: int = 30_000
    steps_per_eval_batch: int = 500
    steps_per_eval_image: int = 500
    steps_per_save: int = 5000
    mixed_precision: bool = True
    machine: MachineConfig = field(default_factory=lambda: MachineConfig(seed=0))
    viewer: ViewerConfig = field(default_factory=lambda: ViewerConfig(num_rays_per_chunk=1 << 15))
    pipeline: VanillaPipelineConfig = field(
        default_factory=lambda: VanillaPipelineConfig(
            datamanager=FeatureDataManagerConfig(),
            model=FeatureFieldModelConfig(camera_optimizer=CameraOptimizerConfig(mode="SO3xR3")),
        )
    )
    optimizers: dict[str, Any] = field(default_factory=_optimizers)
    gradient_accumulation_steps: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("fields", "feature_field", "proposal_networks", "camera_opt"), 1)
    )
    enable_comprehensive_seeding: bool = True
    """Seed Python, NumPy and torch before anything random."""
    seed_deterministic_algorithms: bool = True
    """Use deterministic algorithms (may be slower)."""
    seed_warn_only: bool = False
    """Warn about non-deterministic operations instead of failing."""
    seed_cublas_workspace: bool = True
    """Give cuBLAS a fixed workspace."""
    print_seed_info: bool = True
    """Log what was seeded."""
    threads: int = 0
    """CPU threads; 0: one for each core."""


def build_config(parameters: Mapping[str, Any], *, seed: int | None = None) -> F3RMTrainerConfig:
    """The configuration tree for flat, documented parameters.

    Args:
        parameters: name -> value; absent ones keep F3RM's documented defaults.
        seed: overrides the parameter `seed`.

    Raises:
        InvalidParameter: an unknown name, or a value that can't work.
    """
    checked = check_parameters(parameters)
    if seed is not None:
        checked["seed"] = seed
    config = F3RMTrainerConfig()
    # Flat names such as `lr` go first, so that a suffixed one (`lr_fields`) wins in whatever order they were given.
    for name in sorted(checked, key=lambda name: -len(PARAMETERS[name].places)):
        for place in PARAMETERS[name].places:
            _set(config, place, checked[name])
    config.pipeline.model.__post_init__()
    return config


def read_place(config: F3RMTrainerConfig, place: str) -> Any:
    """The value at a dotted place of the tree."""
    node: Any = config
    for key in place.split("."):
        node = node[key] if isinstance(node, dict) else getattr(node, key)
    return node


def _set(config: F3RMTrainerConfig, place: str, value: Any) -> None:
    parent, _, key = place.rpartition(".")
    node = read_place(config, parent) if parent else config
    if isinstance(node, dict):
        node[key] = value
    else:
        getattr(node, key)  # a place that is not there is a mistake of ours: fail, don't add it
        setattr(node, key, value)


f3rm_method = MethodSpecification(
    config=F3RMTrainerConfig(), description="F3RM: a radiance field with distilled features of a foundation model."
)
"""Entry point for nerfstudio: `ns-train f3rm`."""
