"""The panel of a held-out view: a whole PNG or nothing. Its look is judged by eye."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from f3rm_core import UsageError
from f3rm_core.evaluation.evaluate import View
from f3rm_core.evaluation.pictures import save_panel
from tests.full_disk import no_room_beyond


@pytest.fixture
def view() -> View:
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    return View(noise(24, 32, 3), noise(24, 32, 3), noise(24, 32) + 1.0, noise(3, 4, 8), noise(3, 4, 8))


def test_five_tiles_side_by_side(view: View, tmp_path: Path) -> None:
    save_panel(view, tmp_path / "pictures" / "panel.png")
    with Image.open(tmp_path / "pictures" / "panel.png") as panel:
        assert panel.size == (5 * (32 * 8 + 6) + 6, 24 * 8 + 18 + 12)  # eightfold: a side of at least 180 pixels


def test_without_room_nothing_is_left(view: View, tmp_path: Path) -> None:
    with no_room_beyond(1000), pytest.raises(UsageError, match=r"panel\.png: can't be written"):
        save_panel(view, tmp_path / "panel.png")
    assert list(tmp_path.iterdir()) == []
