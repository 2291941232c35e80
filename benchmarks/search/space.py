"""What the recording varies: a space of mixed parameters in which colours and features pull apart and some runs fail.

The smallest preset with images of half the resolution, so that a training takes seconds on one core.
"""

from __future__ import annotations

from typing import Any

from sweeps.spec.presets import load_preset
from sweeps.spec.space import CategoricalDimension, Dimension, FloatDimension, IntDimension

STEPS = (30, 90, 270)
SPACE: dict[str, Dimension] = {
    "train_num_rays_per_batch": IntDimension(type="int", low=128, high=768, log=True),
    "num_nerf_samples_per_ray": IntDimension(type="int", low=4, high=24),
    "max_res": IntDimension(type="int", low=64, high=1024, log=True),
    "log2_hashmap_size": IntDimension(type="int", low=11, high=17),
    "feat_max_res": IntDimension(type="int", low=16, high=256, log=True),
    # From too slow to learn anything to where nothing is learned: about a quarter of the range fails.
    "lr": FloatDimension(type="float", low=1e-3, high=0.5, log=True),
    # Up to where features shape density against colours: below 0.1 the weight hardly matters.
    "feat_loss_weight": FloatDimension(type="float", low=1e-3, high=100.0, log=True),
    "feat_use_pe": CategoricalDimension(type="categorical", choices=[False, True]),
}


def fixed_parameters() -> dict[str, Any]:
    """Values of the parameters that do not vary."""
    return {**load_preset("demo_cpu").resolved, "camera_res_scale_factor": 0.5}
