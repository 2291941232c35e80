"""Relevancy and what is measured with it, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from f3rm_core.evaluation.language import intersection_over_union, is_localized, mask_of, relevancy, upsampled


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_relevancy_of_one_negative_is_a_softmax_of_two() -> None:
    feature, query, negative = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert relevancy(feature, query, negative, temperature=1.0).item() == pytest.approx(0.7310586)  # e / (e + 1)
    assert relevancy(feature, query, negative).item() == pytest.approx(sigmoid(10), abs=1e-7)  # temperature 0.1


def test_the_strongest_negative_decides() -> None:
    negatives = torch.tensor([[0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]])  # cosines 0, 0.6 and -1 to the feature
    feature = query = torch.tensor([[1.0, 0.0]])
    assert relevancy(feature, query, negatives, temperature=1.0).item() == pytest.approx(sigmoid(1 - 0.6))


def test_relevancy_is_the_minimum_over_pairwise_softmaxes() -> None:
    generator = torch.Generator().manual_seed(0)
    features, queries, negatives = (torch.randn(shape, generator=generator) for shape in ((3, 4, 8), (5, 8), (6, 8)))
    result = relevancy(features, queries, negatives, temperature=0.1)
    assert result.shape == (3, 4, 5)
    unit = [x / x.norm(dim=-1, keepdim=True) for x in (features, queries, negatives)]
    for row, column, query in ((0, 0, 0), (2, 3, 4), (1, 2, 3)):
        feature = unit[0][row, column]
        pairs = [torch.softmax(torch.stack([feature @ unit[1][query], feature @ n]) / 0.1, 0)[0] for n in unit[2]]
        assert result[row, column, query].item() == pytest.approx(min(pairs).item(), abs=1e-6)


def test_many_negatives_do_not_cap_relevancy() -> None:
    """One softmax over the query and 50 equal negatives would give at most about a fiftieth of this."""
    negatives = torch.tensor([[0.0, 1.0]]).repeat(50, 1)
    query = torch.tensor([[1.0, 0.0]])
    assert relevancy(query, query, negatives).item() > 0.999


def test_relevancy_ignores_lengths() -> None:
    features, queries, negatives = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, -1.0]])
    assert torch.allclose(
        relevancy(features, queries, negatives), relevancy(0.01 * features, 7 * queries, 100 * negatives)
    )


def test_no_negatives_or_no_temperature_is_refused() -> None:
    one = torch.ones(1, 2)
    with pytest.raises(ValueError, match="at least one negative"):
        relevancy(one, one, torch.empty(0, 2))
    with pytest.raises(ValueError, match="temperature=0"):
        relevancy(one, one, one, temperature=0.0)


def test_upsampling_is_bilinear_between_cell_centres() -> None:
    maps = torch.tensor([[[0.0, 1.0], [4.0, 1.0]]])  # 1 row, 2 columns, 2 queries
    result = upsampled(maps, height=2, width=4)
    assert result.shape == (2, 2, 4)
    assert result[0].tolist() == [[0.0, 1.0, 3.0, 4.0]] * 2
    assert (result[1] == 1).all()


def test_localization_looks_at_the_most_relevant_pixel() -> None:
    relevancy_map = np.array([[0.1, 0.2], [0.9, 0.3]])
    assert is_localized(relevancy_map, np.array([[False, False], [True, False]]))
    assert not is_localized(relevancy_map, np.array([[True, True], [False, True]]))
    first_of_equals = np.array([[True, False], [False, False]])
    assert is_localized(np.ones((2, 2)), first_of_equals)


def test_intersection_over_union_by_hand() -> None:
    relevancy_map = np.array([[0.9, 0.8, 0.5, 0.1]])  # 0.5 is not above the threshold
    assert intersection_over_union(relevancy_map, np.array([[True, False, True, True]])) == 1 / 4
    assert intersection_over_union(relevancy_map, np.array([[True, True, False, False]])) == 1.0
    assert intersection_over_union(relevancy_map, np.array([[True, True, False, False]]), threshold=0.85) == 1 / 2
    assert intersection_over_union(relevancy_map, np.zeros((1, 4), dtype=bool)) == 0.0
    assert intersection_over_union(np.zeros((1, 4)), np.zeros((1, 4), dtype=bool)) == 1.0


@pytest.mark.parametrize("measure", [is_localized, intersection_over_union])
def test_a_map_of_another_size_is_refused(measure) -> None:
    with pytest.raises(ValueError, match="upsample it first"):
        measure(np.zeros((3, 4)), np.zeros((6, 8), dtype=bool))


def test_a_query_may_mean_several_objects() -> None:
    assert mask_of(np.array([[4, 5], [6, 4]]), [4, 6]).tolist() == [[True, False], [True, True]]
    assert not mask_of(np.array([[4, 5]]), []).any()
