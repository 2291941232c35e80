"""F3RM: the model and one training run.

The public face. Names are resolved when first used: `import f3rm_core` costs nothing, `f3rm_core.train` loads torch and
nerfstudio (several seconds).
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from f3rm_core.kernel_cache import find_kernel_cache

if TYPE_CHECKING:
    from f3rm_core.config import F3RMTrainerConfig as F3RMTrainerConfig
    from f3rm_core.config import FeatureDataManagerConfig as FeatureDataManagerConfig
    from f3rm_core.config import FeatureFieldModelConfig as FeatureFieldModelConfig
    from f3rm_core.config import build_config as build_config
    from f3rm_core.environment import describe_environment as describe_environment
    from f3rm_core.errors import FAILURE_REASONS as FAILURE_REASONS
    from f3rm_core.errors import CheckpointError as CheckpointError
    from f3rm_core.errors import Diverged as Diverged
    from f3rm_core.errors import F3RMError as F3RMError
    from f3rm_core.errors import InvalidParameter as InvalidParameter
    from f3rm_core.errors import OutOfMemory as OutOfMemory
    from f3rm_core.errors import SceneError as SceneError
    from f3rm_core.errors import TrainingFailed as TrainingFailed
    from f3rm_core.errors import UnknownWords as UnknownWords
    from f3rm_core.errors import UsageError as UsageError
    from f3rm_core.errors import WeightsUnavailable as WeightsUnavailable
    from f3rm_core.features.settings import check_weight_file as check_weight_file
    from f3rm_core.features.settings import names_weight_file as names_weight_file
    from f3rm_core.files import write_whole as write_whole
    from f3rm_core.metrics import METRICS as METRICS
    from f3rm_core.metrics import Metric as Metric
    from f3rm_core.nerfstudio_run import nerfstudio_yaml as nerfstudio_yaml
    from f3rm_core.nerfstudio_run import write_nerfstudio_run as write_nerfstudio_run
    from f3rm_core.parameters import PARAMETERS as PARAMETERS
    from f3rm_core.parameters import PARTS as PARTS
    from f3rm_core.parameters import Parameter as Parameter
    from f3rm_core.parameters import check_parameters as check_parameters
    from f3rm_core.parameters import value_text as value_text
    from f3rm_core.scenes.load import Scene as Scene
    from f3rm_core.scenes.load import check_scored as check_scored
    from f3rm_core.scenes.load import embedded_scenes as embedded_scenes
    from f3rm_core.scenes.load import load_scene as load_scene
    from f3rm_core.scenes.load import scene_digest as scene_digest
    from f3rm_core.scenes.prepare import prepare_scene as prepare_scene
    from f3rm_core.training.memory import TYPICAL_SCENE as TYPICAL_SCENE
    from f3rm_core.training.memory import MemoryParts as MemoryParts
    from f3rm_core.training.memory import PredictedMemory as PredictedMemory
    from f3rm_core.training.memory import SceneSize as SceneSize
    from f3rm_core.training.memory import peak_memory as peak_memory
    from f3rm_core.training.result import TABLE_OPTIMIZER as TABLE_OPTIMIZER
    from f3rm_core.training.result import Report as Report
    from f3rm_core.training.result import TrainResult as TrainResult
    from f3rm_core.training.trainer import train as train

_PLACES = {
    "config": ("F3RMTrainerConfig", "FeatureDataManagerConfig", "FeatureFieldModelConfig", "build_config"),
    "environment": ("describe_environment",),
    "errors": (
        "FAILURE_REASONS",
        "CheckpointError",
        "Diverged",
        "F3RMError",
        "InvalidParameter",
        "OutOfMemory",
        "SceneError",
        "TrainingFailed",
        "UnknownWords",
        "UsageError",
        "WeightsUnavailable",
    ),
    "features.settings": ("check_weight_file", "names_weight_file"),
    "files": ("write_whole",),
    "metrics": ("METRICS", "Metric"),
    "nerfstudio_run": ("nerfstudio_yaml", "write_nerfstudio_run"),
    "parameters": ("PARAMETERS", "PARTS", "Parameter", "check_parameters", "value_text"),
    "scenes.load": ("Scene", "check_scored", "embedded_scenes", "load_scene", "scene_digest"),
    "scenes.prepare": ("prepare_scene",),
    "training.memory": ("MemoryParts", "PredictedMemory", "SceneSize", "TYPICAL_SCENE", "peak_memory"),
    "training.result": ("TABLE_OPTIMIZER", "Report", "TrainResult"),
    "training.trainer": ("train",),
}
_WITH_NERFSTUDIO = ("config", "nerfstudio_run", "training.trainer")
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

find_kernel_cache()  # before anything imports numba, by whatever module of ours it comes first


def __dir__() -> list[str]:
    return sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with warnings.catch_warnings():
        # nerfstudio and torchmetrics call what torch has deprecated; that is no news for our users.
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        if _MODULE_OF[name] in _WITH_NERFSTUDIO:
            importlib.import_module(f"{__name__}.encodings.tcnn").survive_broken_tinycudann()
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
