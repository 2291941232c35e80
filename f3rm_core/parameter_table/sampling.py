"""Rays of a batch, and samples along them."""

from __future__ import annotations

from f3rm_core.parameter import SAME_RESULT, Effects, Parameter
from f3rm_core.parameter_table.rows import DATA, MODEL, choices, integer, linear, log, places

_SAMPLING = "sampling"

ROWS: tuple[Parameter, ...] = (
    integer(
        "train_num_rays_per_batch",
        8192,
        DATA,
        _SAMPLING,
        (2, 1 << 20),  # nerfstudio can't refine the pose of a single ray
        "Rays of a training step.",
        unit="rays",
        sweep=choices(1024, 2048, 4096, 8192, 16384),
        effects=Effects("less noise in each step", "nearly proportional", "activations are proportional"),
    ),
    integer(
        "eval_num_rays_per_batch",
        4096,
        DATA,
        _SAMPLING,
        (1, 1 << 20),
        "Rays of an evaluation batch in nerfstudio's own training loop.",
        unit="rays",
        effects=Effects(None, "slower looks on the way", "activations are proportional"),
        not_sweepable=SAME_RESULT,
    ),
    Parameter(
        "num_proposal_samples_per_ray",
        "ints",
        (256, 96),
        places(MODEL, "num_proposal_samples_per_ray"),
        _SAMPLING,
        "Samples of each proposal stage.",
        1,
        4096,
        unit="samples",
        sweep=choices((128, 64), (256, 96), (512, 128)),
        effects=Effects("thin things are found", "slower, on the small networks only", "activations of the proposals"),
    ),
    integer(
        "num_nerf_samples_per_ray",
        48,
        MODEL,
        _SAMPLING,
        (1, 4096),
        "Samples of the radiance and feature fields on a ray.",
        unit="samples",
        sweep=linear(16, 96),
        effects=Effects("less noise, finer depth", "nearly proportional", "activations are proportional"),
    ),
    integer(
        "num_proposal_iterations",
        2,
        MODEL,
        _SAMPLING,
        (1, 4),
        "Stages of proposal sampling; num_proposal_samples_per_ray names as many counts.",
        unit="stages",
        sweep=linear(1, 3),
        effects=Effects("samples close in on surfaces", "one more network to ask", "one more small grid"),
    ),
    integer(
        "proposal_update_every",
        5,
        MODEL,
        _SAMPLING,
        (1, 1000),
        "Steps between updates of the proposals after their warm-up.",
        unit="steps",
        sweep=linear(1, 10),
        effects=Effects("proposals lag behind density", "faster: most steps leave them alone", None),
    ),
    integer(
        "proposal_warmup",
        5000,
        MODEL,
        _SAMPLING,
        (1, 1_000_000),
        "Steps until updates of the proposals are that rare.",
        unit="steps",
        sweep=log(100, 10_000),
        effects=Effects("proposals follow closely for longer", "slower until then", None),
    ),
    integer(
        "proposal_weights_anneal_max_num_iters",
        1000,
        MODEL,
        _SAMPLING,
        (1, 1_000_000),
        "Steps over which proposal weights are sharpened.",
        unit="steps",
        sweep=log(100, 5000),
        effects=Effects("looks along the whole ray for longer before it settles", None, None),
    ),
)
