"""Learning rates, their decay, and how long is trained; the camera poses' optimizer."""

from __future__ import annotations

from dataclasses import replace

from f3rm_core.parameter import SAME_RESULT, Effects, Parameter
from f3rm_core.parameter_table.rows import MODEL, TRAINER, choices, integer, log

_SCHEDULE, _CAMERA = "schedule", "camera"
_GROUPS = ("fields", "feature_field", "proposal_networks")
# How a rate of 0 ends is a division by it, or its logarithm: a loss that is not finite, which blames the wrong thing.
_POSITIVE = 0.0


def _per_group(flat: Parameter, attribute: str) -> tuple[Parameter, ...]:
    """A flat name over all field optimizers, and one suffixed name for each."""
    places = {group: f"optimizers.{group}.{attribute}" for group in _GROUPS}
    suffixed = [
        replace(
            flat, name=f"{flat.name}_{group}", default=None, places=(place,), summary=f"{flat.name} of {group} alone."
        )
        for group, place in places.items()
    ]
    return (replace(flat, places=tuple(places.values())), *suffixed)


_LR = Parameter(
    "lr",
    "float",
    1e-2,
    (),
    _SCHEDULE,
    "Learning rate of the fields (not of the cameras).",
    above=_POSITIVE,
    sweep=log(1e-3, 3e-2),
    effects=Effects("learns faster; from 5e-2 on steps overshoot and may diverge", None, None),
)
_EPS = Parameter(
    "eps",
    "float",
    1e-15,
    (),
    _SCHEDULE,
    "Adam's epsilon, the smallest gradient that is followed at full rate.",
    above=_POSITIVE,
    sweep=log(1e-15, 1e-8),
    effects=Effects("entries that few rays touch move less; from 1e-6 on tables hardly learn", None, None),
)
_LR_FINAL = Parameter(
    "lr_final",
    "float",
    1e-4,
    (),
    _SCHEDULE,
    "Learning rate at the schedule's end.",
    above=_POSITIVE,
    sweep=log(1e-5, 1e-2),
    effects=Effects("less settling at the end, if training gets there", None, None),
)
_LR_MAX_STEPS = Parameter(
    "lr_max_steps",
    "int",
    200_000,
    (),
    _SCHEDULE,
    "Steps over which the rate decays; the documented value is never reached in 30,000 steps.",
    1,
    100_000_000,
    unit="steps",
    sweep=log(10_000, 200_000),
    effects=Effects("the rate stays high for longer; settles best where it fits the training", None, None),
)

_LENGTH = (
    integer(
        "max_num_iterations",
        30_000,
        TRAINER,
        _SCHEDULE,
        (1, 10_000_000),
        "Training steps.",
        unit="steps",
        effects=Effects("better, ever more slowly", "proportional", None),
        not_sweepable="a trial's training steps are its fidelity, the last of fidelity.rungs",
    ),
    integer(
        "steps_per_eval_batch",
        500,
        TRAINER,
        _SCHEDULE,
        (1, 10_000_000),
        "Steps between evaluation batches in nerfstudio's own training loop.",
        unit="steps",
        effects=Effects(None, "fewer interruptions", None),
        not_sweepable=SAME_RESULT,
    ),
    integer(
        "steps_per_eval_image",
        500,
        TRAINER,
        _SCHEDULE,
        (1, 10_000_000),
        "Steps between evaluation images in nerfstudio's own training loop.",
        unit="steps",
        effects=Effects(None, "fewer interruptions", None),
        not_sweepable=SAME_RESULT,
    ),
    integer(
        "steps_per_save",
        5000,
        TRAINER,
        _SCHEDULE,
        (1, 10_000_000),
        "Steps between checkpoints.",
        unit="steps",
        effects=Effects(None, "fewer interruptions, more lost when a run is killed", None),
        not_sweepable=SAME_RESULT,
    ),
)

_CAMERA_ROWS = (
    Parameter(
        "camera_opt_mode",
        "str",
        "SO3xR3",
        (f"{MODEL}.camera_optimizer.mode",),
        _CAMERA,
        "How camera poses are refined.",
        choices=("off", "SO3xR3", "SE3"),
        sweep=choices("off", "SO3xR3", "SE3"),
        effects=Effects(
            "mends inexact poses; with exact ones held-out views can drift away",
            "off is faster: no gradient of rays",
            None,
        ),
    ),
    Parameter(
        "lr_camera_opt",
        "float",
        6e-4,
        ("optimizers.camera_opt.optimizer.lr",),
        _CAMERA,
        "Learning rate of the camera poses.",
        above=_POSITIVE,
        sweep=log(1e-5, 1e-3),
        effects=Effects("poses follow the colours faster, and wander more", None, None),
    ),
    Parameter(
        "eps_camera_opt",
        "float",
        1e-8,
        ("optimizers.camera_opt.optimizer.eps",),
        _CAMERA,
        "Adam's epsilon for the camera poses.",
        above=_POSITIVE,
        sweep=log(1e-15, 1e-6),
        effects=Effects("poses that few rays see move less", None, None),
    ),
    Parameter(
        "weight_decay_camera_opt",
        "float",
        1e-2,
        ("optimizers.camera_opt.optimizer.weight_decay",),
        _CAMERA,
        "Weight decay of the camera poses.",
        0.0,
        sweep=log(1e-4, 1e-1),
        effects=Effects("holds poses nearer to where they came from", None, None),
    ),
)

ROWS: tuple[Parameter, ...] = (
    *_per_group(_LR, "optimizer.lr"),
    *_per_group(_EPS, "optimizer.eps"),
    *_per_group(_LR_FINAL, "scheduler.lr_final"),
    *_per_group(_LR_MAX_STEPS, "scheduler.max_steps"),
    *_LENGTH,
    *_CAMERA_ROWS,
)
