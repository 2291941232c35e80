"""Points of a space that a sweep tries first: a preset's values, or those of an earlier sweep's winners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from f3rm_core import value_text
from sweeps.errors import InvalidSpec, Issue
from sweeps.spec.presets import ROOT_PRESET, Preset, load_preset, preset_in, value_of
from sweeps.spec.space import Dimension, contains, is_active, nearest, ordered


def preset_points(
    names: list[str], space: Mapping[str, Dimension], fixed: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[Issue]]:
    """Each preset's values of the parameters that a sweep varies.

    A value that a preset sets must lie in the space. One that it leaves at the default is moved into it.

    Args:
        names: presets, or files of them.
        space: parameter name -> dimension.
        fixed: values of the parameters that do not vary, for conditions.

    Returns:
        The points, in order, and everything wrong with the list.
    """
    points: list[dict[str, Any]] = []
    issues: list[Issue] = []
    for index, name in enumerate(names):
        field = f"search.warm_start.presets.{index}"
        try:
            preset = preset_in(field, name)
        except InvalidSpec as error:
            issues += error.issues
            continue
        values = {other: preset.resolved[other] for other in sorted(_set_by(preset)) if other in space}
        outside = next((other for other, value in values.items() if not contains(space[other], value)), None)
        if outside is not None:
            value = f"{outside}={value_text(values[outside])}"
            remedy = f"has {value}, which the space does not hold; widen space.{outside} or leave the preset out"
            issues.append(Issue(field, name, remedy))
        elif name in names[:index]:
            issues.append(Issue(field, name, "is given twice"))
        else:
            points.append(point_in(space, fixed, preset.resolved))
    return points, issues


def point_in(space: Mapping[str, Dimension], fixed: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The point of a space that is nearest to a configuration: its active dimensions' values, each moved into its
    range; of choices, the first where the value is none of them."""
    point: dict[str, Any] = {}
    for name in ordered(space):
        dimension = space[name]
        if is_active(dimension, {**fixed, **point}):
            point[name] = nearest(dimension, value_of(values, name))
    return point


def _set_by(preset: Preset) -> set[str]:
    """Names that a preset or one of its bases sets, but for the root, which sets everything."""
    names: set[str] = set()
    while preset.name != ROOT_PRESET and preset.base is not None:
        names |= preset.parameters.keys()
        preset = load_preset(preset.base)
    return names
