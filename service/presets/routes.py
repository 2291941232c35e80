"""The resource /api/v1/presets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from service.errors import problem_docs
from service.presets.schemas import PresetDetail, PresetList, PresetSummary
from sweeps.errors import UnknownPreset
from sweeps.spec.presets import list_presets, load_preset

router = APIRouter(prefix="/presets", tags=["presets"])


@router.get("", summary="List presets", response_model=PresetList)
def list_all() -> PresetList:
    """The presets that ship with the package, f3rm_default first."""
    presets = [load_preset(name) for name in list_presets()]
    return PresetList(
        items=[PresetSummary(name=preset.name, base=preset.base, summary=preset.summary) for preset in presets]
    )


@router.get("/{name}", summary="Show a preset", response_model=PresetDetail, responses=problem_docs(404))
def show(name: Annotated[str, Path(max_length=64)]) -> PresetDetail:
    """A preset: what it sets itself, and every parameter after following its bases."""
    names = list_presets()
    if name not in names:  # a file's path is no name here
        raise UnknownPreset(f"preset {name!r}: no such preset; known: {', '.join(names)}")
    preset = load_preset(name)
    return PresetDetail(
        name=preset.name,
        base=preset.base,
        summary=preset.summary,
        parameters=dict(preset.parameters),
        resolved=dict(preset.resolved),
    )
