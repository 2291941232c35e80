"""Weights of the losses."""

from __future__ import annotations

from f3rm_core.parameter import Effects, Parameter
from f3rm_core.parameter_table.rows import MODEL, NO_NORMALS, log, real, switch

_LOSSES = "losses"

ROWS: tuple[Parameter, ...] = (
    real(
        "feat_loss_weight",
        1e-3,
        MODEL,
        _LOSSES,
        "Weight of the feature loss.",
        # To 10: what it trades begins far above the documented range, see docs/adr/0003.
        sweep=log(1e-5, 10.0),
        effects=Effects(
            "features shape density more; below 0.1 hardly anything, above 1 colours may break", None, None
        ),
    ),
    switch(
        "feat_detach_weights",
        False,
        MODEL,
        _LOSSES,
        "Keep the feature loss from changing density, as in LERF.",
        effects=Effects(
            "density comes from colours alone; the loss weight is then nearly idle", "slightly faster", None
        ),
    ),
    switch(
        "predict_normals",
        False,
        MODEL,
        _LOSSES,
        "Predict normals, which the two normal losses need; refused.",
        not_sweepable="this model does not predict normals",
    ),
    real(
        "orientation_loss_mult",
        1e-4,
        MODEL,
        _LOSSES,
        "Weight of normals that face away from the camera.",
        not_sweepable=NO_NORMALS,
    ),
    real(
        "pred_normal_loss_mult",
        1e-3,
        MODEL,
        _LOSSES,
        "Weight of predicted against density normals.",
        not_sweepable=NO_NORMALS,
    ),
    real(
        "interlevel_loss_mult",
        1.0,
        MODEL,
        _LOSSES,
        "Weight of the proposal networks' loss.",
        sweep=log(0.1, 10.0),
        effects=Effects("Adam hides its scale: hardly anything, as only the proposals see it", None, None),
    ),
    real(
        "distortion_loss_mult",
        0.002,
        MODEL,
        _LOSSES,
        "Weight of compact densities along a ray.",
        sweep=log(1e-4, 1e-1),
        effects=Effects("fewer floaters; too much thins surfaces out", None, None),
    ),
)
