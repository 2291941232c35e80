"""The picture of the front: that it is one, whole, and refuses what it can't draw. Its look is judged by eye."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from f3rm_core import UsageError
from sweeps.analysis import report
from sweeps.analysis.interactive import front_figure
from sweeps.analysis.report import plot_front
from sweeps.errors import NoResults
from sweeps.spec.objectives import objectives_of
from tests.full_disk import no_room_beyond

OBJECTIVES = objectives_of(["psnr", "feature_gain", "train_seconds"])
RESULTS = {
    number: {"psnr": 20.0 + number, "feature_gain": 0.5 - 0.05 * number, "train_seconds": 10.0 + number % 3}
    for number in range(6)
} | {9: {"psnr": 19.0, "feature_gain": 0.1, "train_seconds": 90.0}}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_picture_is_drawn_for_any_number_of_objectives(tmp_path: Path, count: int) -> None:
    path = tmp_path / "front.png"
    plot_front(path, title="t", objectives=OBJECTIVES[:count], results=RESULTS, winner=5)
    picture = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    assert picture.shape[0] >= 700
    winners_red = np.abs(picture - [0xD1, 0x49, 0x5B]).sum(axis=-1) < 30
    assert winners_red.sum() > 100
    assert [found.name for found in tmp_path.iterdir()] == ["front.png"]


def test_without_a_winner_none_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "front.png"
    plot_front(path, title="t", objectives=OBJECTIVES[:2], results=RESULTS)
    picture = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    assert (np.abs(picture - [0xD1, 0x49, 0x5B]).sum(axis=-1) < 30).sum() == 0


def test_one_trial_is_a_front(tmp_path: Path) -> None:
    plot_front(tmp_path / "front.svg", title="t", objectives=OBJECTIVES[:2], results={4: RESULTS[4]}, winner=4)
    assert (tmp_path / "front.svg").read_text().rstrip().endswith("</svg>")


def test_no_label_covers_another_or_a_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two trials in nearly one place, one of them the winner, near the corner: its long label has to turn left."""
    drawn: list[Figure] = []
    monkeypatch.setattr(report, "save_figure", lambda figure, path: drawn.append(figure))
    results = {
        7: {"psnr": 24.23, "feature_gain": 0.8665},
        9: {"psnr": 24.27, "feature_gain": 0.8663},
        1: {"psnr": 24.40, "feature_gain": 0.8612},
        2: {"psnr": 21.12, "feature_gain": 0.8528},
    }
    plot_front(tmp_path / "front.png", title="t", objectives=OBJECTIVES[:2], results=results, winner=9)
    (axes,) = drawn[0].axes
    labels = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert set(labels) == {"7", "1", "trial 9: balanced winner"}
    for first, second in itertools.combinations(labels.values(), 2):
        assert not first.overlaps(second)
    for extent in labels.values():
        assert not extent.overlaps(axes.get_legend().get_window_extent())
        assert not any(
            extent.contains(*axes.transData.transform((trial["psnr"], trial["feature_gain"])))
            for trial in results.values()
        )


def test_what_can_not_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoResults):
        plot_front(tmp_path / "front.png", title="t", objectives=OBJECTIVES, results={})
    with pytest.raises(UsageError, match=r"ends in \.png"):
        plot_front(tmp_path / "front.txt", title="t", objectives=OBJECTIVES, results=RESULTS)
    with pytest.raises(UsageError, match="can't be written"):
        plot_front(tmp_path / "none" / "front.png", title="t", objectives=OBJECTIVES, results=RESULTS)
    with pytest.raises(UsageError, match="can't be written"), no_room_beyond(1000):
        plot_front(tmp_path / "front.png", title="t", objectives=OBJECTIVES, results=RESULTS)
    assert list(tmp_path.iterdir()) == []


def test_the_dashboards_plot_joins_the_front() -> None:
    figure = front_figure("s", OBJECTIVES[:2], RESULTS)
    others, front = figure.data
    assert list(others.text) == ["trial 9"]
    assert list(front.x) == [25.0, 24.0, 23.0, 22.0, 21.0, 20.0]
    assert figure.layout.xaxis.title.text == "psnr (dB), higher is better"
