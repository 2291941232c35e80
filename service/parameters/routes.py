"""The resource /api/v1/parameters."""

from __future__ import annotations

from fastapi import APIRouter

from f3rm_core import PARAMETERS
from service.parameters.schemas import ParameterDetail, ParameterList
from sweeps.views import parameter_view

router = APIRouter(prefix="/parameters", tags=["parameters"])


@router.get("", summary="List parameters", response_model=ParameterList)
def list_all() -> ParameterList:
    """Every documented parameter: its default, where to sweep it, and what it does to quality, speed and memory."""
    return ParameterList(items=[ParameterDetail(**parameter_view(one)) for one in PARAMETERS.values()])
