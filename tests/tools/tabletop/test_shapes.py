from __future__ import annotations

import numpy as np
import pytest

from tools.tabletop.shapes import CLASSES, build_shape


@pytest.mark.parametrize("name", CLASSES)
def test_a_shape_stands_on_the_table_and_is_about_one_unit_large(name: str) -> None:
    for seed in range(3):
        shape = build_shape(name, np.random.default_rng(seed))
        assert abs(shape.vertices[:, 2].min()) < 0.03
        assert 0.15 < shape.height < 2.0
        assert 0.25 < shape.radius < 1.3
        assert np.hypot(*shape.vertices[:, :2].T).max() == pytest.approx(shape.radius)
        assert np.allclose(np.linalg.norm(shape.normals, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", CLASSES)
def test_faces_point_at_vertices_and_parts_that_exist(name: str) -> None:
    shape = build_shape(name, np.random.default_rng(0))
    assert shape.faces.min() == 0
    assert shape.faces.max() == len(shape.vertices) - 1
    assert set(shape.face_parts) == set(range(len(shape.parts)))


def test_the_seed_decides_the_variant() -> None:
    first, again, other = (build_shape("mug", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.vertices, again.vertices)
    assert first.radius != other.radius
