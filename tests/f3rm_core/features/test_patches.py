"""Positions for maps of any size."""

from __future__ import annotations

import pytest
import torch

from f3rm_core.features.patches import resized_positions


@pytest.mark.parametrize("antialias", [True, False])
class TestResizedPositions:
    def test_at_the_trained_size(self, antialias: bool) -> None:
        embedding = torch.randn(1 + 4 * 4, 32)
        assert resized_positions(embedding, (4, 4), 4, 4, antialias=antialias) is embedding

    def test_a_constant_and_the_class_token_are_kept(self, antialias: bool) -> None:
        embedding = torch.full((17, 32), 0.25)
        embedding[0] = torch.arange(32.0)
        positions = resized_positions(embedding, (4, 4), 3, 7, antialias=antialias)
        assert positions.shape == (22, 32)
        torch.testing.assert_close(positions[1:], torch.full((21, 32), 0.25))
        assert torch.equal(positions[0], embedding[0])

    def test_rows_stay_rows(self, antialias: bool) -> None:
        embedding = torch.zeros(17, 1)
        embedding[1:, 0] = torch.arange(4.0).repeat_interleave(4)  # the row's number
        positions = resized_positions(embedding, (4, 4), 8, 2, antialias=antialias)[1:].view(8, 2)
        assert torch.equal(positions[:, 0], positions[:, 1])
        assert (positions[1:, 0] > positions[:-1, 0]).all()
