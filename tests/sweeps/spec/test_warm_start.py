"""The nearest point of a space to a configuration, by hand."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from sweeps.errors import InvalidSpec
from sweeps.spec.draw import draw
from sweeps.spec.presets import default_parameters
from sweeps.spec.space import CategoricalDimension, Dimension, FloatDimension, IntDimension, contains
from sweeps.spec.sweep import check_spec, parse_spec
from sweeps.spec.warm_start import point_in

STEPPED = FloatDimension(type="float", low=1e-4, high=7e-4, step=1e-4)  # 1e-4 + 6 * 1e-4 is 0.0007000000000000001


@pytest.mark.parametrize(
    ("dimension", "value", "nearest"),
    [
        (FloatDimension(type="float", low=1e-3, high=1e-2), 0.5, 1e-2),
        (IntDimension(type="int", low=64, high=1024, step=64), 150, 128),
        (STEPPED, 1e-2, 7e-4),
        (STEPPED, 0.0, 1e-4),
    ],
)
def test_a_value_is_moved_to_the_nearest_one_there_is(dimension: Dimension, value: float, nearest: float) -> None:
    point = point_in({"lr": dimension}, {}, {"lr": value})
    assert point == {"lr": nearest}
    assert contains(dimension, point["lr"])


def test_a_choice_is_given_as_the_space_has_it() -> None:
    # 1.0 and (256, 96) are what a configuration holds; samplers know choices by their own values.
    choices = {
        "feat_loss_weight": CategoricalDimension(type="categorical", choices=[2, 1]),
        "num_proposal_samples_per_ray": CategoricalDimension(type="categorical", choices=[[128, 48], [256, 96]]),
        "feat_use_pe": CategoricalDimension(type="categorical", choices=[False, True]),
        "camera_opt_mode": CategoricalDimension(type="categorical", choices=["off", "SE3"]),
    }
    values = {"feat_loss_weight": 1.0, "num_proposal_samples_per_ray": (256, 96), "feat_use_pe": 1}
    point = point_in(choices, {}, {**values, "camera_opt_mode": "SO3xR3"})
    assert point["feat_loss_weight"] == 1
    assert isinstance(point["feat_loss_weight"], int)
    assert point["num_proposal_samples_per_ray"] == [256, 96]
    assert point["feat_use_pe"] is False  # 1 is not True
    assert point["camera_opt_mode"] == "off"  # none of them


def test_what_is_drawn_by_steps_stays_inside() -> None:
    random = Random(0)
    drawn = [draw({"lr": STEPPED}, {}, random)["lr"] for _ in range(100)]
    assert all(contains(STEPPED, value) for value in drawn)
    assert max(drawn) == 7e-4


def test_a_suffixed_name_that_is_not_set_follows_its_flat_one() -> None:
    space: dict[str, Any] = {"lr_fields": FloatDimension(type="float", low=1e-3, high=2e-2)}
    assert point_in(space, {}, {**default_parameters(), "lr": 3e-3}) == {"lr_fields": 3e-3}
    assert point_in(space, {}, {**default_parameters(), "lr_fields": 4e-3}) == {"lr_fields": 4e-3}


def test_a_name_that_is_newer_than_the_configuration_had_its_default() -> None:
    assert point_in({"max_res": IntDimension(type="int", low=64, high=4096)}, {}, {}) == {"max_res": 2048}


def test_a_preset_can_start_a_sweep_over_a_suffixed_name() -> None:
    spec = parse_spec(
        {
            "name": "rates",
            "space": {"lr_fields": {"type": "float", "low": 1e-3, "high": 2e-2, "log": True}},
            "search": {"warm_start": {"presets": ["f3rm_default"]}},
        }
    )
    assert check_spec(spec).first == ({"lr_fields": 1e-2},)


@pytest.mark.parametrize("place", ["base", "search.warm_start.presets.0"])
def test_a_preset_file_that_cant_be_had_is_the_fault_of_the_field_that_names_it(tmp_path: Path, place: str) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: mine\nbase: f3rm_default\nparameters: {max_res: 1}\n")
    for name, said in (
        ("gone.yaml", "no such file"),
        ("quick_prototyp", "did you mean quick_prototype"),
        (str(broken), r"line 3: parameters\.max_res=1: must be at least base_res"),
    ):
        own = {"base": name} if place == "base" else {"search": {"warm_start": {"presets": [name]}}}
        space = {"lr": {"type": "float", "low": 1e-3, "high": 2e-2}}
        with pytest.raises(InvalidSpec, match=said) as caught:
            check_spec(parse_spec({"name": "rates", "space": space, **own}))
        assert [issue.field for issue in caught.value.issues] == [place]
