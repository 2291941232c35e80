"""Memory, the scene, seeding, and the machine."""

from __future__ import annotations

from f3rm_core.parameter import SAME_RESULT, Effects, Parameter
from f3rm_core.parameter_table.rows import (
    DATA,
    MODEL,
    OTHER_VIEWS,
    REPEAT,
    TRAINER,
    choices,
    integer,
    real,
    switch,
    text,
)

_MEMORY, _SCENE, _SEEDING, _MACHINE = "memory", "scene", "seeding", "machine"

MEMORY: tuple[Parameter, ...] = (
    integer(
        "eval_num_rays_per_chunk",
        1 << 14,
        MODEL,
        _MEMORY,
        (1, 1 << 20),
        "Rays rendered at once.",
        unit="rays",
        sweep=choices(4096, 8192, 16384, 32768),
        effects=Effects(None, "less overhead while rendering", "activations of rendering are proportional"),
    ),
    Parameter(
        "viewer_num_rays_per_chunk",
        "int",
        1 << 15,
        ("viewer.num_rays_per_chunk",),
        _MEMORY,
        "Rays rendered at once in nerfstudio's viewer.",
        1,
        1 << 20,
        unit="rays",
        effects=Effects(None, "less overhead in the viewer", "activations of rendering are proportional"),
        not_sweepable=SAME_RESULT,
    ),
    switch(
        "mixed_precision",
        True,
        TRAINER,
        _MEMORY,
        "Train in half precision on CUDA; no effect on the CPU.",
        effects=Effects("hardly any loss", "faster on CUDA", "about half of the activations on CUDA"),
    ),
    Parameter(
        "gradient_accumulation_steps",
        "int",
        1,
        tuple(
            f"gradient_accumulation_steps.{group}"
            for group in ("fields", "feature_field", "proposal_networks", "camera_opt")
        ),
        _MEMORY,
        "Backward passes whose gradients are added before an optimizer's step.",
        1,
        1024,
        unit="steps",
        sweep=choices(1, 2, 4),
        effects=Effects(
            "less noise, but as many times fewer updates", "slightly faster: fewer updates", "lets batches be smaller"
        ),
    ),
)

ROWS: tuple[Parameter, ...] = (
    real(
        "camera_res_scale_factor",
        1.0,
        DATA,
        _SCENE,
        "Scale of the images.",
        low=0.01,
        high=1.0,
        effects=Effects("finer detail can be learned and is asked for", "slower evaluation", "larger images"),
        not_sweepable=OTHER_VIEWS,
    ),
    Parameter(
        "train_split_fraction",
        "float",
        0.9,
        (f"{DATA}.dataparser.train_split_fraction",),
        _SCENE,
        "Share of the views trained on, where the scene names no split.",
        0.05,
        0.99,
        effects=Effects("more to learn from, less to measure on", "faster evaluation", None),
        not_sweepable=OTHER_VIEWS,
    ),
    Parameter(
        "seed",
        "int",
        0,
        ("machine.seed",),
        _SEEDING,
        "Seed of everything random.",
        0,
        2**31 - 1,
        effects=Effects("chance: repeat to see how much", None, None),
        not_sweepable=REPEAT,
    ),
    switch(
        "enable_comprehensive_seeding",
        True,
        TRAINER,
        _SEEDING,
        "Seed every source of randomness.",
        effects=Effects("results can be repeated", None, None),
        not_sweepable=REPEAT,
    ),
    switch(
        "seed_deterministic_algorithms",
        True,
        TRAINER,
        _SEEDING,
        "Use deterministic algorithms.",
        effects=Effects("results can be repeated", "may be slower on CUDA", None),
        not_sweepable=REPEAT,
    ),
    switch(
        "seed_warn_only",
        False,
        TRAINER,
        _SEEDING,
        "Warn of non-deterministic operations instead of failing.",
        effects=Effects("results may differ between runs, with a warning", None, None),
        not_sweepable=REPEAT,
    ),
    switch(
        "seed_cublas_workspace",
        True,
        TRAINER,
        _SEEDING,
        "Give cuBLAS a fixed workspace.",
        effects=Effects("results can be repeated on CUDA", None, "a few MB on CUDA"),
        not_sweepable=REPEAT,
    ),
    switch("print_seed_info", True, TRAINER, _SEEDING, "Log what was seeded.", not_sweepable=SAME_RESULT),
    integer(
        "threads",
        0,
        TRAINER,
        _MACHINE,
        (0, 1024),
        "CPU threads; 0: all cores. Part of what fixes the bits.",
        unit="threads",
        effects=Effects("last bits only", "faster, less than proportional", None),
        not_sweepable=SAME_RESULT,
    ),
    text(
        "encoding_backend",
        "auto",
        MODEL,
        _MACHINE,
        "Implementation of the hash grids.",
        choices=("auto", "numba", "reference", "tcnn"),
        effects=Effects("last bits only", "tcnn on CUDA and numba on the CPU are the fast ones", None),
        not_sweepable=SAME_RESULT,
    ),
)
