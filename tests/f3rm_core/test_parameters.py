"""The documented parameters and what they refuse."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from f3rm_core import PARAMETERS, InvalidParameter, check_parameters


def test_the_defaults_pass_their_own_checks() -> None:
    defaults = {name: parameter.default for name, parameter in PARAMETERS.items() if parameter.default is not None}
    assert check_parameters(defaults) == defaults


def test_values_come_back_in_their_own_types() -> None:
    checked = check_parameters({"max_res": 512.0, "lr": 1, "num_proposal_samples_per_ray": [64, 32]})
    assert checked == {"max_res": 512, "lr": 1.0, "num_proposal_samples_per_ray": (64, 32)}
    assert isinstance(checked["max_res"], int)
    assert isinstance(checked["lr"], float)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_rez": 512}, "max_rez=512: no such parameter; did you mean max_res?"),
        ({"max_res": 12}, "max_res=12: must be at least base_res (16)"),
        ({"feat_max_res": 8}, "feat_max_res=8: must be at least feat_start_res (16)"),
        ({"max_res": 64.5}, "max_res=64.5: give an integer"),
        ({"max_res": True}, "max_res=True: give an integer"),
        ({"log2_hashmap_size": 30}, "log2_hashmap_size=30: must be at most 24"),
        ({"train_num_rays_per_batch": 0}, "train_num_rays_per_batch=0: must be at least 1"),
        ({"lr": float("nan")}, "lr=nan: must be finite"),
        ({"lr": -1.0}, "lr=-1.0: must be at least 0"),
        ({"lr": "1e-3"}, "lr='1e-3': give a number (in YAML write 1.0e-3, not 1e-3)"),
        ({"lr": "fast"}, "lr='fast': give a number"),
        ({"feat_use_pe": 1}, "feat_use_pe=1: give true or false"),
        ({"camera_opt_mode": "SO4"}, "camera_opt_mode='SO4': give one of off, SO3xR3, SE3"),
        ({"clip_model": 3}, "clip_model=3: give a text"),
        (
            {"num_proposal_samples_per_ray": 64},
            "num_proposal_samples_per_ray=64: give a list of integers, such as [256, 96]",
        ),
        (
            {"num_proposal_samples_per_ray": [64]},
            "num_proposal_samples_per_ray=[64]: give one count for each of the 2 num_proposal_iterations",
        ),
    ],
)
def test_what_cant_work_is_one_line_with_value_and_remedy(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_parameters(parameters)
    assert str(caught.value) == message


def test_the_error_survives_the_way_between_processes() -> None:
    error = InvalidParameter("max_res", 12, "must be at least base_res (16)")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.name, again.value) == (str(error), "max_res", 12)
