"""Weights that can't be had: one clear line, within seconds. Nothing here goes to the network."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from f3rm_core.errors import InvalidParameter, UsageError, WeightsUnavailable
from f3rm_core.features import FeatureSettings, ensure_weights, weight_files, weights

REAL = FeatureSettings()  # ViT-L-14-336-quickgelu with OpenAI's weights


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Takes connections and never answers, as a firewall that swallows packets does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture(autouse=True)
def empty_hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No downloads of this machine's user, no proxies, and no way out."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(weights.hub, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(weights.hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights.hub, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return folder


def refused(settings: FeatureSettings, cache_dir: Path, error: type[UsageError] = WeightsUnavailable) -> str:
    with pytest.raises(error) as caught:
        ensure_weights(settings, cache_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestHub:
    def test_no_network(self, tmp_path: Path) -> None:
        message = refused(REAL, tmp_path)
        assert "clip_model='ViT-L-14-336-quickgelu': its weights 'openai' are not on this machine" in message
        assert "http://127.0.0.1:9 can't be reached" in message
        assert "set clip_pretrained to the file" in message
        assert "tabletop-mini" in message

    def test_offline_by_setting(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(weights.hub, "HF_HUB_OFFLINE", True)
        assert "can't be reached" in refused(REAL, tmp_path)

    def test_network_that_hangs(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listener: socket.socket) -> None:
        monkeypatch.setattr(weights.hub, "ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setattr(weight_files, "REACH_TIMEOUT_SECONDS", 0.2)
        assert "can't be reached" in refused(REAL, tmp_path)

    def test_name_that_never_resolves(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Looking up a name obeys no timeout of a socket."""

        def look_up(*_: object, **__: object) -> None:
            time.sleep(2)
            raise OSError

        monkeypatch.setattr(weight_files, "REACH_TIMEOUT_SECONDS", -0.8)  # waits for 1 s less 0.8 s
        monkeypatch.setattr(weight_files.urllib.request, "urlopen", look_up)
        assert "can't be reached" in refused(REAL, tmp_path)

    def test_download_that_fails(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def fail(entry: object) -> str:
            raise FileNotFoundError("Failed to download\nsecond line")

        monkeypatch.setattr(weights, "reachable", lambda address: True)
        monkeypatch.setattr(weights, "download_pretrained", fail)
        assert "can't be downloaded from http://127.0.0.1:9 (Failed to download)" in refused(REAL, tmp_path)

    def test_an_earlier_download_needs_no_network(self, empty_hub_cache: Path, tmp_path: Path) -> None:
        repository = empty_hub_cache / "models--timm--vit_large_patch14_clip_336.openai"
        file = repository / "snapshots" / "0123abcd" / "open_clip_model.safetensors"
        file.parent.mkdir(parents=True)
        save_file({"x": np.zeros(3)}, file)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0123abcd")
        assert weights.find_weights(REAL, tmp_path).fetch() == file


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        message = refused(FeatureSettings(clip_pretrained=str(tmp_path / "gone.pt")), tmp_path, InvalidParameter)
        assert "gone.pt': no such file" in message

    def test_unknown_tag(self, tmp_path: Path) -> None:
        message = refused(FeatureSettings(clip_model="ViT-B-16", clip_pretrained="laion9b"), tmp_path)
        assert "neither a file nor a tag of ViT-B-16 (its tags: openai, laion400m_e31," in message

    @pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
    def test_not_weights(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / name
        file.write_text("<html>not found</html>")  # what a failed download often leaves
        message = refused(FeatureSettings(clip_pretrained=str(file)), tmp_path)
        assert "not a readable weight file of ViT-L-14-336-quickgelu" in message

    def test_cut_off(self, tiny_weights: Path, tiny_settings: FeatureSettings, tmp_path: Path) -> None:
        file = tmp_path / "cut.safetensors"
        file.write_bytes(tiny_weights.read_bytes()[:-1000])
        settings = FeatureSettings(clip_model=tiny_settings.clip_model, clip_pretrained=str(file))
        assert "download it again" in refused(settings, tmp_path)

    def test_good_file(self, tiny_settings: FeatureSettings, tmp_path: Path) -> None:
        ensure_weights(tiny_settings, tmp_path)

    @pytest.mark.parametrize("content", ["missing", "text", "ordinary", "cut"])
    def test_tabletop_mini(self, content: str, compact_file: Path, tiny_weights: Path, tmp_path: Path) -> None:
        file = tmp_path / "compact.safetensors"
        if content == "text":
            file.write_text("not weights")
        elif content == "ordinary":  # of a whole open_clip model: says nothing of tokens
            file.write_bytes(tiny_weights.read_bytes())
        elif content == "cut":
            file.write_bytes(compact_file.read_bytes()[:-1])
        settings = FeatureSettings(clip_model="tabletop-mini", clip_pretrained=str(file))
        error = InvalidParameter if content == "missing" else WeightsUnavailable
        assert "compact.safetensors" in refused(settings, tmp_path / "cache", error)
        assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("ViT-L-14-336", "openai", "use 'ViT-L-14-336-quickgelu'"),
        ("ViT-B-16", "dfn2b", "use 'ViT-B-16-quickgelu'"),
        ("ViT-L-14-335", "openai", "did you mean"),
        ("RN50-quickgelu", "openai", "ResNet"),
        ("ViT-B-16-SigLIP", "webli", "timm"),
        ("coca_ViT-B-32", "laion2b_s13b_b90k", "does not pool by a class token"),
        ("ViT-L-14-CLIPA", "datacomp1b", "does not pool by a class token"),
        ("ViT-M-16-alt", "none", "layer scale"),
        ("roberta-ViT-B-32", "laion2b_s12b_b32k", "transformers"),
    ],
)
def test_models_without_dense_features(model: str, pretrained: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter) as caught:
        ensure_weights(FeatureSettings(clip_model=model, clip_pretrained=pretrained), tmp_path)
    assert caught.value.name == "clip_model"
    assert message in str(caught.value)
