"""Flat parameters reach their places in nerfstudio's tree."""

from __future__ import annotations

import pytest
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

from f3rm_core import (
    PARAMETERS,
    FeatureDataManagerConfig,
    FeatureFieldModelConfig,
    InvalidParameter,
    build_config,
)
from f3rm_core.config import read_place


def test_every_default_is_what_the_tree_holds() -> None:
    config = build_config({})
    for parameter in PARAMETERS.values():
        if parameter.default is None:
            continue
        for place in parameter.places:
            assert read_place(config, place) == parameter.default, f"{parameter.name} at {place}"


def test_every_place_can_be_set() -> None:
    others = {"int": 3, "float": 0.5, "str": "other"}
    for name, parameter in PARAMETERS.items():
        if parameter.kind not in others or parameter.choices or name in ("num_proposal_iterations",):
            continue
        value = max(others[parameter.kind], parameter.low or 0) if parameter.kind != "str" else "other"
        # Both ends of a pair that must be ordered are set together.
        pair = {
            "base_res": "max_res",
            "feat_start_res": "feat_max_res",
            "max_res": "base_res",
            "feat_max_res": "feat_start_res",
        }
        values = {name: value, **({pair[name]: value} if name in pair else {})}
        config = build_config(values)
        assert [read_place(config, place) for place in parameter.places] == [value] * len(parameter.places), name


@pytest.mark.parametrize("order", [("lr", "lr_fields"), ("lr_fields", "lr")])
def test_a_suffixed_name_wins_in_any_order(order: tuple[str, str]) -> None:
    values = {"lr": 1e-3, "lr_fields": 5e-3}
    config = build_config({name: values[name] for name in order})
    rates = {group: entry["optimizer"].lr for group, entry in config.optimizers.items()}
    assert rates == {"proposal_networks": 1e-3, "fields": 5e-3, "feature_field": 1e-3, "camera_opt": 6e-4}


def test_configurations_share_nothing() -> None:
    build_config({"lr": 1.0, "max_res": 64})
    assert build_config({}).optimizers["fields"]["optimizer"].lr == 1e-2
    assert build_config({}).pipeline.model.max_res == 2048


def test_the_seed_argument_wins() -> None:
    assert build_config({"seed": 3}, seed=7).machine.seed == 7


def test_what_nerfacto_offers_and_this_model_does_not_do_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="predict_normals=True: not supported"):
        FeatureFieldModelConfig(predict_normals=True)
    with pytest.raises(InvalidParameter, match="background_color='white'"):
        FeatureFieldModelConfig(background_color="white")
    for name in ("use_single_jitter", "use_average_appearance_embedding"):
        with pytest.raises(InvalidParameter, match=f"{name}=False: not supported; leave it at True"):
            FeatureFieldModelConfig(**{name: False})
    with pytest.raises(InvalidParameter, match=r"implementation='torch': has no effect here; .* give encoding_backend"):
        FeatureFieldModelConfig(implementation="torch")
    with pytest.raises(InvalidParameter, match=r"downscale_factor=2: not supported; .* give camera_res_scale_factor"):
        FeatureDataManagerConfig(dataparser=NerfstudioDataParserConfig(downscale_factor=2))


def test_nerfstudio_finds_the_method() -> None:
    from importlib.metadata import entry_points

    (entry,) = (one for one in entry_points(group="nerfstudio.method_configs") if one.name == "f3rm")
    specification = entry.load()
    assert specification.config.method_name == "f3rm"
    assert specification.config.pipeline.model.feat_loss_weight == 1e-3
