"""Settings of feature models, and the weight files that they name: told without loading a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from f3rm_core import InvalidParameter, check_weight_file
from f3rm_core.features import FeatureSettings
from f3rm_core.features.embedded import EMBEDDED_FILE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("feature_type", "DINOSAUR"),
        ("dino_model", "vit_small_patch8_224"),
        ("dino_pretrained", " "),
        ("feature_image_size", -1),
        ("feature_image_size", 22.5),
        ("feature_image_size", True),
        ("clip_model", ""),
        ("clip_pretrained", None),
        ("clip_pretrained", "embedded"),  # for tabletop-mini only
    ],
)
def test_settings_that_cannot_work(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter) as caught:
        FeatureSettings(**{name: value})  # type: ignore[arg-type]
    assert caught.value.name == name
    assert "\n" not in str(caught.value)


class TestWeightFile:
    def test_a_tag_names_none(self) -> None:
        assert FeatureSettings(clip_model="ViT-B-16", clip_pretrained="laion400m_e31").weight_file() is None

    @pytest.mark.parametrize("written", ["/no/such/w.pth", "./w.pth", "openai", "published"])
    def test_dinos_are_the_published_ones_or_a_file(self, written: str, tmp_path: Path) -> None:
        assert FeatureSettings(feature_type="DINO").weight_file() is None
        (tmp_path / "w").touch()
        assert FeatureSettings(feature_type="DINO", dino_pretrained=str(tmp_path / "w")).weight_file() == tmp_path / "w"
        with pytest.raises(InvalidParameter, match=r"no such file.*; give .hub. or the path of a weight file of vit_"):
            FeatureSettings(feature_type="DINO", dino_pretrained=written).weight_file()

    def test_those_of_the_other_type_are_not_looked_at(self) -> None:
        FeatureSettings(dino_pretrained="/no/such/w.pth").weight_file()
        FeatureSettings(feature_type="DINO", clip_pretrained="/no/such/w.pth").weight_file()
        FeatureSettings(feature_type="DINO", clip_pretrained="embedded").weight_file()

    def test_embedded(self) -> None:
        settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained="embedded")
        assert settings.weight_file() == EMBEDDED_FILE

    @pytest.mark.parametrize("model", ["ViT-B-16", "tabletop-mini"])
    @pytest.mark.parametrize("written", ["{home}/w.pt", "w.pt", "~/w.pt", "./plain", "plain"])
    def test_a_file(self, model: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        for name in ("w.pt", "plain"):
            (tmp_path / name).touch()
        file = FeatureSettings(clip_model=model, clip_pretrained=written.format(home=tmp_path)).weight_file()
        assert file is not None
        assert file.resolve() == tmp_path / Path(written).name

    @pytest.mark.parametrize(
        ("model", "pretrained", "words"),
        [
            ("ViT-B-16", "/no/such/w", "no such file; give a tag, the path of a weight file of ViT-B-16, or"),
            ("ViT-B-16", "w.safetensors", "no such file"),
            ("ViT-B-16", "w.pt", "no such file"),
            ("ViT-B-16", "./w", "no such file"),
            ("ViT-B-16", "~nobody-of-this-name/w.pt", "no such file"),
            ("ViT-B-16", "a" * 5000 + ".pt", "no such file"),
            ("ViT-B-16", "a\0.pt", "no such file"),
            ("ViT-B-16", "/", "no such file"),  # a folder is none
            ("tabletop-mini", "/no/such/w.safetensors", "no such file; give 'embedded' or the path"),
            ("tabletop-mini", "w.pt", "no such file"),
            ("tabletop-mini", "openai", "tabletop-mini has no weights of this name; give 'embedded' or the path"),
        ],
    )
    def test_no_such_file(
        self, model: str, pretrained: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InvalidParameter) as caught:
            FeatureSettings(clip_model=model, clip_pretrained=pretrained).weight_file()
        assert (caught.value.name, caught.value.value) == ("clip_pretrained", pretrained)
        assert words in caught.value.remedy
        assert "\n" not in str(caught.value)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "w.pt"
        file.touch(mode=0o000)
        monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read everything
        with pytest.raises(InvalidParameter, match=r"w\.pt': you may not read this file; give a tag"):
            FeatureSettings(clip_pretrained=str(file)).weight_file()

    def test_a_relative_path_says_where_it_was_looked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InvalidParameter, match=rf"no such file in {tmp_path}; "):
            FeatureSettings(clip_pretrained="w.pt").weight_file()


def test_parameters_are_checked_with_their_defaults() -> None:
    check_weight_file({})
    check_weight_file({"clip_model": "tabletop-mini", "clip_pretrained": "embedded", "max_res": 64})
    with pytest.raises(InvalidParameter, match="clip_pretrained='openai': tabletop-mini has no"):
        check_weight_file({"clip_model": "tabletop-mini"})


def test_a_check_loads_no_model() -> None:
    code = (
        "import sys, f3rm_core; f3rm_core.check_weight_file({}); "
        "print(sorted({'torch', 'open_clip', 'timm', 'nerfstudio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
