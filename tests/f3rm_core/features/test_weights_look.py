"""Looking for weights says where they stand and downloads nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from f3rm_core import WeightsUnavailable
from f3rm_core.features import FeatureSettings, look_for_weights, weights


def test_embedded_weights_are_ready(tmp_path: Path) -> None:
    settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained="embedded")
    assert look_for_weights(settings, tmp_path) == "ready"


def test_weights_on_a_hub_are_named_and_left_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(entry: object) -> str:
        raise AssertionError("looking must not download")

    monkeypatch.setattr(weights, "_from_hub_cache", lambda entry: None)
    monkeypatch.setattr(weights, "reachable", lambda address: True)
    monkeypatch.setattr(weights, "download_pretrained", refuse)
    assert "the first use downloads them" in look_for_weights(FeatureSettings())


def test_a_hub_out_of_reach_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_from_hub_cache", lambda entry: None)
    monkeypatch.setattr(weights, "reachable", lambda address: False)
    with pytest.raises(WeightsUnavailable, match="set clip_pretrained to the file"):
        look_for_weights(FeatureSettings())
