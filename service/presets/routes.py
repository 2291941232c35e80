"""The resource /api/v1/presets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from service.errors import problem_docs
from service.presets.schemas import PresetDetail, PresetList, PresetSummary, SuggestedPreset
from sweeps.errors import UnknownPreset
from sweeps.spec.memory import MAX_GPU_MEMORY_GB
from sweeps.spec.presets import list_presets, load_preset
from sweeps.spec.suggest import Complexity, suggest
from sweeps.views import preset_view, suggestion_view

router = APIRouter(prefix="/presets", tags=["presets"])
suggested = APIRouter(tags=["presets"])


@router.get("", summary="List presets", response_model=PresetList)
def list_all() -> PresetList:
    """The presets that ship with the package, f3rm_default first."""
    return PresetList(items=[PresetSummary(**preset_view(load_preset(name))) for name in list_presets()])


@router.get("/{name}", summary="Show a preset", response_model=PresetDetail, responses=problem_docs(404))
def show(name: Annotated[str, Path(max_length=64)]) -> PresetDetail:
    """A preset: what it sets itself, and every parameter after following its bases."""
    names = list_presets()
    if name not in names:  # a file's path is no name here
        raise UnknownPreset(f"preset {name!r}: no such preset; known: {', '.join(names)}")
    return PresetDetail(**preset_view(load_preset(name), values=True))


@suggested.get(
    "/suggested-preset",
    summary="A preset to start from",
    response_model=SuggestedPreset,
    responses=problem_docs(422),
)
def suggested_preset(
    scene_complexity: Annotated[
        Complexity, Query(description="simple: one object; complex: several; very_complex: outdoors, fine detail.")
    ],
    gpu_memory_gb: Annotated[float, Query(gt=0, le=MAX_GPU_MEMORY_GB, description="Memory of one GPU, GB.")],
) -> SuggestedPreset:
    """A preset by rules of thumb: the scene's table says what it needs, the memory's table what the GPU holds and
    where the scene's wishes end. `reasons` tells which gave each value."""
    return SuggestedPreset(**suggestion_view(suggest(scene_complexity, gpu_memory_gb)))
