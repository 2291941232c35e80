"""The documented parameters, and the check of a whole set of them. Plain data, no torch.

A preset, a sweep and the command line speak these flat names.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from f3rm_core.encodings.spec import require_tcnn_features
from f3rm_core.errors import InvalidParameter
from f3rm_core.parameter import Parameter, value_text
from f3rm_core.parameter_table import PARAMETERS, PARTS

__all__ = ["PARAMETERS", "PARTS", "Parameter", "check_parameters", "value_text"]


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
            hint = f"did you mean {near[0]}?" if near else "`f3rm-sweeps params` lists the names"
            raise InvalidParameter(name, value, f"no such parameter; {hint}")
        checked[name] = PARAMETERS[name].check(value)

    def get(name: str) -> Any:
        return checked.get(name, PARAMETERS[name].default)

    for top, bottom in (("max_res", "base_res"), ("feat_max_res", "feat_start_res")):
        if get(top) < get(bottom):
            raise InvalidParameter(top, get(top), f"must be at least {bottom} ({get(bottom)})")
    if get("predict_normals"):
        raise InvalidParameter("predict_normals", True, "this model predicts no normals; leave it false")
    if get("encoding_backend") == "tcnn":
        require_tcnn_features(**{name: get(name) for name in ("features_per_level", "feat_features_per_level")})
    stages = get("num_proposal_samples_per_ray")
    if len(stages) != get("num_proposal_iterations"):
        raise InvalidParameter(
            "num_proposal_samples_per_ray",
            list(stages),
            f"give one count for each of the {get('num_proposal_iterations')} num_proposal_iterations",
        )
    return checked
