"""The resource /api/v1/configs: checks before anything is launched."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from service.body import body_text
from service.configs.schemas import CheckAnswer
from service.dependencies import Configured, Store
from service.errors import problem_docs
from sweeps.spec.check import check_document
from sweeps.spec.documents import parse_document
from sweeps.spec.memory import MAX_GPU_MEMORY_GB
from sweeps.views import checked_view

router = APIRouter(prefix="/configs", tags=["configurations"])

_EXAMPLE = {
    "base": "f3rm_default",
    "parameters": {
        "max_res": 4096,
        "log2_hashmap_size": 21,
        "train_num_rays_per_batch": 16384,
        "mixed_precision": False,
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/SweepSpec"},
                        {"$ref": "#/components/schemas/PresetDocument"},
                    ]
                },
                "example": _EXAMPLE,
            }
            for kind in ("application/json", "application/yaml")
        },
    }
}


@router.post(
    "/check",
    summary="Check a configuration or a space",
    response_model=CheckAnswer,
    openapi_extra=_BODY,
    responses=problem_docs(400, 413, 415, 422),
)
def check(
    text: Annotated[str, Depends(body_text)],
    settings: Configured,
    store: Store,
    gpu_memory_gb: Annotated[
        float | None, Query(gt=0, le=MAX_GPU_MEMORY_GB, description="Memory of a GPU that it must fit, GB.")
    ] = None,
) -> CheckAnswer:
    """Runs the rules on a preset (`name` and `base` may be left out) or on a sweep's space, JSON or YAML, and predicts
    its peak memory. The answer is 200 whatever they find; 422 means that the document itself can't work."""
    document = parse_document(text)
    checked = check_document(
        document,
        scene_root=settings.sweeps.scene_root,
        gpu_memory_gb=gpu_memory_gb,
        runs_here=settings.sweeps.ray_address is None,
        check_earlier=store.check_earlier,
    )
    return CheckAnswer(**checked_view(checked))
