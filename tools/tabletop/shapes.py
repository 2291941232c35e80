"""The objects: one function a class, each giving a new variant of the shape at every call.

Lengths are in scene units; an object is about one unit large, stands on z = 0 and is centred on the z axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from trimesh.creation import box, cylinder, icosphere, revolve, torus

Array = NDArray[np.float64]
RGB = tuple[float, float, float]

MAIN, ACCENT = "main", "accent"
"""The two paints of an object: the one it is named for, and the second colour."""

SMOOTHING_ANGLE = 0.7
"""Edges sharper than this (radians) stay sharp when vertex normals are averaged."""


@dataclass(frozen=True)
class Part:
    """A mesh and its paint: MAIN, ACCENT, or a fixed linear RGB colour."""

    mesh: trimesh.Trimesh
    paint: str | RGB
    patterned: bool = False  # whether the pattern of MAIN shows on it


@dataclass(frozen=True)
class Shape:
    """One variant of a class, ready to be placed."""

    vertices: Array  # [vertices, 3]
    normals: Array  # [vertices, 3], unit
    faces: NDArray[np.int32]  # [faces, 3]
    face_parts: NDArray[np.int32]  # [faces], index into parts
    parts: tuple[Part, ...]
    radius: float  # of the footprint, around the z axis

    @property
    def height(self) -> float:
        return float(self.vertices[:, 2].max())


def build_shape(name: str, rng: np.random.Generator) -> Shape:
    """A new variant of the class `name` (a key of CLASSES)."""
    parts = CLASSES[name](rng)
    vertices, normals, faces, face_parts, count = [], [], [], [], 0
    for index, part in enumerate(parts):
        mesh = part.mesh.copy()
        mesh.merge_vertices()
        mesh = trimesh.graph.smooth_shade(mesh, angle=SMOOTHING_ANGLE)
        vertices.append(mesh.vertices)
        normals.append(mesh.vertex_normals)
        faces.append(mesh.faces + count)
        face_parts.append(np.full(len(mesh.faces), index))
        count += len(mesh.vertices)
    stacked = np.vstack(vertices)
    return Shape(
        vertices=stacked,
        normals=np.vstack(normals),
        faces=np.vstack(faces).astype(np.int32),
        face_parts=np.concatenate(face_parts).astype(np.int32),
        parts=tuple(parts),
        radius=float(np.linalg.norm(stacked[:, :2], axis=1).max()),
    )


def mug(rng: np.random.Generator) -> list[Part]:
    radius, height, wall = rng.uniform(0.38, 0.46), rng.uniform(0.8, 1.0), 0.05
    outside = _lathe(
        [(0, 0), (radius * 0.94, 0), (radius, 0.06), (radius, height), (radius - wall * 0.5, height + 0.02)]
    )
    inside = _lathe([(radius - wall * 0.5, height + 0.02), (radius - wall, height), (radius - wall, 0.07), (0, 0.07)])
    reach = height * rng.uniform(0.3, 0.37)
    angles = np.linspace(-1.5, 1.5, 16)
    handle = _tube(
        np.c_[radius - 0.03 + reach * np.cos(angles), 0 * angles, height * 0.5 + reach * np.sin(angles)], 0.065
    )
    return [Part(outside, MAIN, patterned=True), Part(inside, MAIN), Part(handle, MAIN)]


def bowl(rng: np.random.Generator) -> list[Part]:
    radius, depth = rng.uniform(0.62, 0.78), rng.uniform(0.5, 0.72)
    angles = np.linspace(0.28, np.pi / 2, 14)
    outer = np.c_[radius * np.sin(angles), radius * depth * (1 - np.cos(angles))]
    inner = np.c_[(radius - 0.06) * np.sin(angles), radius * depth * (1 - np.cos(angles)) + 0.05][::-1]
    outside = _lathe([(0, 0.012), (radius * 0.26, 0.0), *outer, tuple((outer[-1] + inner[0]) / 2)])
    inside = _lathe([tuple((outer[-1] + inner[0]) / 2), *inner, (0, inner[-1][1])])
    return [Part(outside, MAIN, patterned=True), Part(inside, MAIN if rng.random() < 0.6 else ACCENT)]


def bottle(rng: np.random.Generator) -> list[Part]:
    radius, height = rng.uniform(0.29, 0.36), rng.uniform(1.5, 1.9)
    neck, shoulder = radius * rng.uniform(0.32, 0.42), height * rng.uniform(0.5, 0.6)
    body = _lathe(
        [
            *((0, 0), (radius * 0.95, 0), (radius, 0.05), (radius, shoulder), (radius * 0.9, shoulder + 0.12)),
            *((radius * 0.62, shoulder + 0.24), (neck, shoulder + 0.38), (neck, height), (0, height)),
        ]
    )
    label = _lathe([(radius * 1.015, shoulder * 0.25), (radius * 1.015, shoulder * 0.85)])
    cap = _moved(cylinder(neck * 1.3, 0.16, sections=24), (0, 0, height))
    return [Part(body, MAIN), Part(label, MAIN, patterned=True), Part(cap, ACCENT)]


def teapot(rng: np.random.Generator) -> list[Part]:
    radius, squat = rng.uniform(0.52, 0.62), rng.uniform(0.75, 0.95)
    angles = np.linspace(0.35, 2.72, 20)
    profile = np.c_[radius * np.sin(angles), -radius * squat * np.cos(angles)]
    profile[:, 1] -= profile[0, 1]
    top = profile[-1, 1]
    body = _lathe([(0, 0), *profile, (0, top + 0.04)])
    knob = _moved(icosphere(2, 0.1), (0, 0, top + 0.1))
    spout_path = radius * np.array([(0.75, 0, 0.55), (1.2, 0, 0.75), (1.42, 0, 1.2), (1.68, 0, 1.55)])
    spout = _tube(_refined(spout_path, 12), np.linspace(0.17, 0.065, 12))
    bend = np.linspace(-1.6, 1.6, 16)
    handle = _tube(np.c_[-radius * 0.88 - 0.34 * np.cos(bend), 0 * bend, top * 0.52 + 0.34 * np.sin(bend)], 0.06)
    return [Part(body, MAIN, patterned=True), Part(knob, ACCENT), Part(spout, MAIN), Part(handle, MAIN)]


def book(rng: np.random.Generator) -> list[Part]:
    length, width, thick, cover = rng.uniform(1.25, 1.55), rng.uniform(0.9, 1.1), rng.uniform(0.2, 0.34), 0.035
    pages = box((length - 0.08, width - 0.07, thick - cover))
    back, front = box((length, width, cover)), box((length, width, cover))
    spine = box((length, cover, thick))
    return [
        Part(_moved(pages, (0, -0.012, thick / 2)), (0.82, 0.77, 0.64)),
        Part(_moved(back, (0, 0, cover / 2)), MAIN),
        Part(_moved(front, (0, 0, thick - cover / 2)), MAIN, patterned=True),
        Part(_moved(spine, (0, width / 2 - cover / 2, thick / 2)), MAIN),
    ]


def ball(rng: np.random.Generator) -> list[Part]:
    radius = rng.uniform(0.42, 0.52)
    return [Part(_moved(icosphere(4, radius), (0, 0, radius)), MAIN, patterned=True)]


def lamp(rng: np.random.Generator) -> list[Part]:
    height, narrow, wide = rng.uniform(1.5, 1.8), rng.uniform(0.3, 0.38), rng.uniform(0.56, 0.68)
    foot = _lathe([(0, 0), (0.36, 0), (0.36, 0.06), (0.12, 0.13), (0, 0.14)])
    pole = _moved(cylinder(0.05, height - 0.1, sections=16), (0, 0, (height - 0.1) / 2 + 0.05))
    low = height - 0.68
    shade = _lathe([(wide - 0.02, low), (wide, low), (narrow, height), (narrow - 0.02, height)])
    lining = _lathe([(narrow - 0.025, height), (wide - 0.025, low)])
    top = _lathe([(narrow, height - 0.015), (0, height - 0.015)])
    brass = (0.45, 0.33, 0.13)
    return [
        Part(foot, brass),
        Part(pole, brass),
        Part(shade, MAIN, patterned=True),
        Part(lining, MAIN),
        Part(top, MAIN),
    ]


def donut(rng: np.random.Generator) -> list[Part]:
    major, minor = rng.uniform(0.42, 0.5), rng.uniform(0.19, 0.235)
    ring = _moved(torus(major, minor, major_sections=48, minor_sections=24), (0, 0, minor))
    icing = ring.triangles_center[:, 2] > minor * 0.8
    top, dough = (trimesh.Trimesh(ring.vertices, ring.faces[half]) for half in (icing, ~icing))
    return [Part(top, MAIN, patterned=True), Part(dough, (0.55, 0.32, 0.12))]


def duck(rng: np.random.Generator) -> list[Part]:
    size = rng.uniform(0.92, 1.1)
    body = _moved(icosphere(3, 1.0).apply_scale((0.56 * size, 0.42 * size, 0.36 * size)), (0, 0, 0.34 * size))
    tail = _tube(
        size * np.array([(-0.4, 0, 0.42), (-0.56, 0, 0.55), (-0.66, 0, 0.72)]), size * np.array([0.2, 0.13, 0.03])
    )
    head = _moved(icosphere(3, 0.29 * size), (0.3 * size, 0, 0.86 * size))
    beak = _moved(icosphere(2, 1.0).apply_scale((0.2 * size, 0.14 * size, 0.055 * size)), (0.6 * size, 0, 0.82 * size))
    eyes = [_moved(icosphere(2, 0.05 * size), (0.52 * size, y * size, 0.95 * size)) for y in (-0.15, 0.15)]
    wings = [
        _moved(icosphere(2, 1.0).apply_scale((0.3 * size, 0.07, 0.18 * size)), (-0.08 * size, y * size, 0.42 * size))
        for y in (-0.4, 0.4)
    ]
    return [
        *(Part(mesh, MAIN) for mesh in (body, tail, head, *wings)),
        Part(beak, (0.9, 0.33, 0.02)),
        *(Part(eye, (0.02, 0.02, 0.02)) for eye in eyes),
    ]


CLASSES: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "mug": mug,
    "bowl": bowl,
    "bottle": bottle,
    "teapot": teapot,
    "book": book,
    "ball": ball,
    "lamp": lamp,
    "donut": donut,
    "duck": duck,
}


def _lathe(profile: Sequence[tuple[float, float]] | Sequence[Array], sections: int = 48) -> trimesh.Trimesh:
    """Turns a profile of (radius, height) points about the z axis."""
    return revolve(np.array(profile, dtype=float), sections=sections)


def _moved(mesh: trimesh.Trimesh, offset: Sequence[float]) -> trimesh.Trimesh:
    mesh.apply_translation(offset)
    return mesh


def _refined(points: Array, count: int) -> Array:
    """`count` points along the smooth curve through `points` [points, 3]."""
    knots = np.linspace(0, 1, len(points))
    return np.asarray(PchipInterpolator(knots, points)(np.linspace(0, 1, count)))


def _tube(path: Array, radii: float | Array, sides: int = 14) -> trimesh.Trimesh:
    """A closed tube along `path` [points, 3] in the plane y = 0, with a radius for each point."""
    path = np.asarray(path, dtype=float)
    radius = np.broadcast_to(radii, (len(path),))
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.tile([0.0, 1.0, 0.0], (len(path), 1))
    upward = np.cross(tangent, across)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    rings = [
        centre + r * (np.cos(turn) * a + np.sin(turn) * b)
        for centre, r, a, b in zip(path, radius, across, upward, strict=True)
    ]
    vertices = np.vstack([*rings, path[:1], path[-1:]])
    start, end = len(vertices) - 2, len(vertices) - 1
    last = (len(path) - 1) * sides
    faces = []
    for side in range(sides):
        beside = (side + 1) % sides
        for ring in range(0, last, sides):
            here, there = ring + side, ring + beside
            faces += [[here, there, here + sides], [there, there + sides, here + sides]]
        faces += [[start, beside, side], [end, last + side, last + beside]]
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    mesh.fix_normals()
    return mesh
