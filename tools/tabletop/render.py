"""Renders a layout on the CPU: Embree's rays, Lambert's law, one square lamp with soft shadows, ambient occlusion.

There is no view-dependent light, so a radiance field can fit the pictures, and every ray hits something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from tools.tabletop.layout import (
    CEILING_Z,
    CLOTH,
    CLOTH_THICKNESS,
    FIRST_OBJECT_ID,
    FLOOR,
    FLOOR_Z,
    ROOM_HALF,
    TABLE,
    TABLE_THICKNESS,
    WALL,
    Item,
    Layout,
)
from tools.tabletop.shapes import ACCENT, MAIN, Array, Part
from tools.tabletop.surfaces import Plain, Surface

OCCLUSION_REACH = 1.3
"""Ambient light is dimmed by what is nearer than this (scene units)."""

OFFSET = 2e-3
"""Secondary rays start this far off the surface (scene units)."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in the OpenGL convention: it looks along -z, y is up."""

    camera_to_world: Array  # [4, 4]
    focal_pixels: float
    width: int
    height: int

    def rays(self, x_pixels: Array, y_pixels: Array) -> tuple[Array, Array]:
        """Origins and unit directions [rays, 3] through image points; (0.5, 0.5) is the first pixel's centre."""
        local = np.stack(
            [
                (x_pixels - self.width / 2) / self.focal_pixels,
                (self.height / 2 - y_pixels) / self.focal_pixels,
                -np.ones_like(x_pixels),
            ],
            axis=-1,
        )
        directions = local @ self.camera_to_world[:3, :3].T
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        return np.broadcast_to(self.camera_to_world[:3, 3], directions.shape), directions


def looking_at(eye: Array, target: Array, focal_pixels: float, width: int, height: int) -> Camera:
    """A level camera at `eye` [3] looking at `target` [3]; up is +z."""
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(back, right), back, eye], axis=1)
    return Camera(pose, focal_pixels, width, height)


@dataclass(frozen=True)
class _Chunk:
    """The mesh of one thing, in the world."""

    vertices: Array  # [vertices, 3]
    normals: Array  # [vertices, 3]
    texture_points: Array  # [vertices, 3], what its surfaces are asked for
    faces: NDArray[Any]  # [faces, 3], counted from the chunk's first vertex
    face_surfaces: NDArray[Any]  # [faces], index into the renderer's surfaces
    mask_id: int


class Renderer:
    """Holds one layout's geometry; `render` gives a picture and its mask."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._surfaces: list[Surface] = []
        self._chunks: list[_Chunk] = []
        self._add_room()
        for index, item in enumerate(layout.items):
            self._add_item(item, FIRST_OBJECT_ID + index)
        chunks = self._chunks
        starts = np.cumsum([0, *(len(chunk.vertices) for chunk in chunks[:-1])])
        self._vertices = np.vstack([chunk.vertices for chunk in chunks]).astype(np.float32)
        self._normals = np.vstack([chunk.normals for chunk in chunks])
        self._texture_points = np.vstack([chunk.texture_points for chunk in chunks])
        faces = [chunk.faces + start for chunk, start in zip(chunks, starts, strict=True)]
        self._faces = np.vstack(faces).astype(np.int32)
        self._face_surfaces = np.concatenate([chunk.face_surfaces for chunk in chunks])
        self._face_ids = np.concatenate([np.full(len(chunk.faces), chunk.mask_id) for chunk in chunks])
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(self._scene, self._vertices, self._faces)

    def render(
        self,
        camera: Camera,
        rng: np.random.Generator,
        *,
        subpixels: int = 2,
        light_samples: int = 1,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A picture and its mask.

        Args:
            rng: draws the points on the lamp and the directions of ambient light.
            subpixels: the picture is averaged over subpixels x subpixels samples a pixel.
            light_samples: shadow rays and ambient rays of each sample.

        Returns:
            sRGB picture [height, width, 3] and ids [height, width] of what the ray through each pixel's centre hits.
        """
        x, y = np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float))
        total = np.zeros((camera.height * camera.width, 3))
        for row in range(subpixels):
            for column in range(subpixels):
                jitter = rng.uniform(0, 1, (2, *x.shape))
                total += self._radiance(
                    *camera.rays(
                        (x + (column + jitter[0]) / subpixels).ravel(), (y + (row + jitter[1]) / subpixels).ravel()
                    ),
                    rng,
                    light_samples,
                )
        picture = _srgb(total / subpixels**2).reshape(camera.height, camera.width, 3)
        hit = self._trace(*camera.rays((x + 0.5).ravel(), (y + 0.5).ravel()))
        mask = self._face_ids[hit["primID"]].reshape(x.shape).astype(np.uint8)
        return picture, mask

    def _radiance(self, origins: Array, directions: Array, rng: np.random.Generator, light_samples: int) -> Array:
        hit = self._trace(origins, directions)
        faces = self._faces[hit["primID"]]
        u, v = hit["u"][:, None].astype(float), hit["v"][:, None].astype(float)
        weights = (1 - u - v, u, v)
        points = origins + directions * hit["tfar"][:, None]
        normals = np.asarray(sum(w * self._normals[faces[:, k]] for k, w in enumerate(weights)))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        away = (normals * directions).sum(1, keepdims=True) > 0
        normals = np.where(away, -normals, normals)
        texture_points = sum(w * self._texture_points[faces[:, k]] for k, w in enumerate(weights))
        albedo = np.empty((len(points), 3))
        surfaces = self._face_surfaces[hit["primID"]]
        for index in np.unique(surfaces):
            chosen = surfaces == index
            albedo[chosen] = self._surfaces[index].albedo(texture_points[chosen])
        light = np.zeros(len(points))
        for _ in range(light_samples):
            light += self._direct(points, normals, rng) + self._ambient(points, normals, rng)
        return albedo * (light / light_samples)[:, None]

    def _direct(self, points: Array, normals: Array, rng: np.random.Generator) -> Array:
        """Light [points] of the lamp, from one random point of it for each surface point."""
        layout = self._layout
        lamp = np.tile(np.array(layout.light_position), (len(points), 1))
        lamp[:, :2] += rng.uniform(-layout.light_half, layout.light_half, (len(points), 2))
        towards = lamp - points
        distance = np.linalg.norm(towards, axis=1)
        towards /= distance[:, None]
        cosine = np.clip((normals * towards).sum(1), 0, None)
        fall = np.linalg.norm(layout.light_position) / distance  # softer than the square, as in a room with light walls
        return layout.light_strength * fall * cosine * ~self._occluded(points, normals, towards, distance - 0.05)

    def _ambient(self, points: Array, normals: Array, rng: np.random.Generator) -> Array:
        """Light [points] from all around, from one random direction (cosine-weighted) for each surface point."""
        random = rng.normal(size=points.shape)
        directions = normals * 1.001 + random / np.linalg.norm(random, axis=1, keepdims=True)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        free = ~self._occluded(points, normals, directions, np.full(len(points), OCCLUSION_REACH))
        from_above = 0.8 + 0.2 * normals[:, 2]
        return self._layout.ambient_strength * from_above * (0.15 + 0.85 * free)

    def _occluded(self, points: Array, normals: Array, directions: Array, reach: Array) -> NDArray[np.bool_]:
        starts = (points + OFFSET * normals).astype(np.float32)
        answer = self._scene.run(
            starts, directions.astype(np.float32), dists=reach.astype(np.float32), query="OCCLUDED"
        )
        return np.asarray(answer) != -1

    def _trace(self, origins: Array, directions: Array) -> dict[str, NDArray]:
        hit: dict[str, NDArray] = self._scene.run(
            origins.astype(np.float32), directions.astype(np.float32), query="INTERSECT", output=True
        )
        assert (hit["primID"] >= 0).all(), "a ray left the room"
        return hit

    def _add_room(self) -> None:
        layout = self._layout
        x, y = layout.table_half
        height = CEILING_Z - FLOOR_Z
        self._add_box((ROOM_HALF * 2, ROOM_HALF * 2, height), (0, 0, FLOOR_Z + height / 2), layout.wall, WALL)
        self._add_box((ROOM_HALF * 2, ROOM_HALF * 2, 0.1), (0, 0, FLOOR_Z - 0.04), layout.floor, FLOOR)
        self._add_box((2 * x, 2 * y, TABLE_THICKNESS), (0, 0, -TABLE_THICKNESS / 2), layout.table, TABLE)
        for sx in (-1, 1):
            for sy in (-1, 1):
                leg = (sx * (x - 0.25), sy * (y - 0.25), (FLOOR_Z - TABLE_THICKNESS) / 2)
                self._add_box((0.2, 0.2, -FLOOR_Z - TABLE_THICKNESS), leg, layout.table, TABLE)
        if layout.cloth is not None:
            cloth = layout.cloth
            size = (2 * cloth.half[0], 2 * cloth.half[1], 2 * CLOTH_THICKNESS)
            self._add_box(size, (*cloth.centre, 0.0), cloth, CLOTH, yaw_rad=cloth.yaw_rad)

    def _add_box(
        self,
        size: tuple[float, float, float],
        centre: tuple[float, float, float],
        surface: Surface,
        mask_id: int,
        yaw_rad: float = 0.0,
    ) -> None:
        mesh = trimesh.creation.box(size)
        mesh.apply_transform(trimesh.transformations.rotation_matrix(yaw_rad, (0, 0, 1)))
        mesh.apply_translation(centre)
        corners = np.asarray(mesh.vertices[mesh.faces]).reshape(-1, 3)
        normals = np.repeat(np.asarray(mesh.face_normals), 3, axis=0)
        faces = np.arange(len(corners)).reshape(-1, 3)
        index = np.full(len(faces), len(self._surfaces), dtype=np.int32)
        self._surfaces.append(surface)
        self._chunks.append(_Chunk(corners, normals, corners, faces, index, mask_id))

    def _add_item(self, item: Item, mask_id: int) -> None:
        shape = item.shape
        first = len(self._surfaces)
        self._surfaces += [_surface(item, part) for part in shape.parts]
        cos, sin = np.cos(item.yaw_rad), np.sin(item.yaw_rad)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        ground = CLOTH_THICKNESS if self._layout.cloth is not None else 0.0
        placed = shape.vertices @ turn.T * item.scale + np.array([*item.position, ground])
        self._chunks.append(
            _Chunk(placed, shape.normals @ turn.T, shape.vertices, shape.faces, first + shape.face_parts, mask_id)
        )


def _surface(item: Item, part: Part) -> Surface:
    if part.paint == MAIN:
        return item.main if part.patterned else Plain(item.main.base)
    if part.paint == ACCENT:
        return Plain(item.accent)
    assert not isinstance(part.paint, str)
    return Plain(part.paint)


def _srgb(linear: Array) -> NDArray[np.uint8]:
    """Display values of linear light, with highlights rolled off."""
    rolled = np.where(linear < 0.6, linear, 0.6 + 0.4 * (1 - np.exp(-(linear - 0.6) / 0.4)))
    curve = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * np.maximum(rolled, 1e-9) ** (1 / 2.4) - 0.055)
    return (np.clip(curve, 0, 1) * 255 + 0.5).astype(np.uint8)
