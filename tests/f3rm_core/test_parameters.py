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
        ({"train_num_rays_per_batch": 0}, "train_num_rays_per_batch=0: must be at least 2"),
        ({"lr": float("nan")}, "lr=nan: must be finite"),
        ({"lr": -1.0}, "lr=-1.0: must be above 0"),
        ({"lr": 0}, "lr=0: must be above 0"),
        ({"lr_fields": 0.0}, "lr_fields=0.0: must be above 0"),
        ({"lr_final": 0.0}, "lr_final=0.0: must be above 0"),
        ({"eps": 0.0}, "eps=0.0: must be above 0"),
        ({"eps_camera_opt": 0.0}, "eps_camera_opt=0.0: must be above 0"),
        ({"feat_loss_weight": -1e-3}, "feat_loss_weight=-0.001: must be at least 0"),
        ({"predict_normals": True}, "predict_normals=True: this model predicts no normals; leave it false"),
        ({"lr": "1e-3"}, "lr='1e-3': give a number, without quotes"),
        ({"max_res": "256"}, "max_res='256': give an integer, without quotes"),
        ({"lr": "inf"}, "lr='inf': give a number"),
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


def test_a_number_of_hundreds_of_digits_is_one_line() -> None:
    with pytest.raises(InvalidParameter, match="must be finite"):
        check_parameters({"max_res": 10**400})


def test_what_may_be_swept_has_a_range_within_its_bounds_and_what_may_not_has_a_reason() -> None:
    for parameter in PARAMETERS.values():
        assert bool(parameter.not_sweepable) == (parameter.sweep is None), parameter.name
        if parameter.sweep is not None:
            for end in parameter.sweep.choices or (parameter.sweep.low, parameter.sweep.high):
                parameter.check(end)
            if parameter.default is not None and parameter.sweep.low is not None and parameter.sweep.high is not None:
                assert parameter.sweep.low <= parameter.default <= parameter.sweep.high, parameter.name


def test_every_parameter_says_what_it_does() -> None:
    for parameter in PARAMETERS.values():
        assert parameter.summary.endswith("."), parameter.name
        if not parameter.not_sweepable:
            assert any(vars(parameter.effects).values()), parameter.name


NAMED = """
num_levels base_res max_res log2_hashmap_size features_per_level feat_num_levels feat_start_res feat_max_res
feat_log2_hashmap_size feat_features_per_level hidden_dim hidden_dim_color num_layers num_layers_color feat_hidden_dim
feat_num_layers feat_loss_weight feat_detach_weights orientation_loss_mult pred_normal_loss_mult predict_normals
train_num_rays_per_batch eval_num_rays_per_batch num_proposal_samples_per_ray num_nerf_samples_per_ray
num_proposal_iterations lr lr_fields lr_feature_field lr_proposal_networks eps eps_fields lr_final lr_final_fields
lr_max_steps lr_max_steps_fields max_num_iterations steps_per_eval_batch steps_per_save eval_num_rays_per_chunk
viewer_num_rays_per_chunk mixed_precision gradient_accumulation_steps feature_type enable_cache
enable_comprehensive_seeding seed_deterministic_algorithms seed_warn_only seed_cublas_workspace print_seed_info
camera_opt_mode lr_camera_opt eps_camera_opt weight_decay_camera_opt feat_use_pe feat_pe_n_freq
"""


def test_all_that_the_guide_names_are_there() -> None:
    assert [name for name in NAMED.split() if name not in PARAMETERS] == []


def test_what_changes_no_result_is_not_swept() -> None:
    idle = [name for name, parameter in PARAMETERS.items() if not parameter.changes_result]
    assert {"steps_per_save", "print_seed_info", "viewer_num_rays_per_chunk", "enable_cache"} <= set(idle)
    assert all(PARAMETERS[name].not_sweepable for name in idle)


def test_the_error_survives_the_way_between_processes() -> None:
    error = InvalidParameter("max_res", 12, "must be at least base_res (16)")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.name, again.value) == (str(error), "max_res", 12)
