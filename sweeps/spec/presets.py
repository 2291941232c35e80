"""Presets: named sets of parameters, each a difference from its base, down to f3rm_default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from f3rm_core import PARAMETERS, InvalidParameter, check_parameters
from sweeps.errors import MISSING, InvalidSpec, Issue, UnknownPreset
from sweeps.spec.documents import issues_of, parse_document, read_document, suggestion

ROOT_PRESET = "f3rm_default"
_SUFFIXES = (".yaml", ".yml", ".json")


class PresetDocument(BaseModel):
    """A preset as a user writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    base: str | None = None
    summary: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """A preset with its chain of bases followed.

    Args:
        name: its name.
        base: name (or file) of the preset it starts from; None only for f3rm_default.
        summary: one sentence.
        parameters: what it sets itself.
        resolved: every parameter, after following the bases.
    """

    name: str
    base: str | None
    summary: str
    parameters: Mapping[str, Any]
    resolved: Mapping[str, Any] = field(repr=False)


def list_presets() -> list[str]:
    """Names of the presets that ship with the package, sorted, f3rm_default first."""
    names = [
        entry.name.rsplit(".", 1)[0] for entry in resources.files("presets").iterdir() if entry.name.endswith(_SUFFIXES)
    ]
    return sorted(names, key=lambda name: (name != ROOT_PRESET, name))


def load_preset(name_or_file: str | Path) -> Preset:
    """Load a preset by its name, or from a YAML or JSON file.

    Raises:
        UnknownPreset: no preset has this name.
        InvalidSpec: the file is missing or wrong; names the field.
    """
    return _load(str(name_or_file), folder=Path(), seen=())


def overlay(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of `upper` over those of `lower`.

    A flat name in `upper` (lr) sets all its places, so suffixed names in `lower` (lr_fields) give way to it.
    """
    merged = {name: value for name, value in lower.items() if not any(name in _suffixed(flat) for flat in upper)}
    return {**merged, **upper}


def _suffixed(flat: str) -> set[str]:
    """Names such as lr_fields that override one place of the flat name."""
    return {name for name, parameter in PARAMETERS.items() if parameter.default is None and name.startswith(f"{flat}_")}


def default_parameters() -> dict[str, Any]:
    """The documented default of every parameter that has one of its own."""
    return {name: parameter.default for name, parameter in PARAMETERS.items() if parameter.default is not None}


def _load(name_or_file: str, *, folder: Path, seen: tuple[str, ...]) -> Preset:
    document, key, where = _read(name_or_file, folder)
    if key in seen:
        raise InvalidSpec([Issue("base", name_or_file, "bases form a circle")], where=where)
    try:
        written = PresetDocument.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(issues_of(error, PresetDocument), where=where) from None
    if written.base is None:
        if written.name != ROOT_PRESET:
            raise InvalidSpec(
                [Issue("base", MISSING, f"is required; give {ROOT_PRESET} or another preset")], where=where
            )
        lower: Mapping[str, Any] = default_parameters()
    else:
        base_folder = Path(key).parent if _is_file(name_or_file) else Path()
        lower = _load(written.base, folder=base_folder, seen=(*seen, key)).resolved
    try:
        # The layer alone first: an error then names what this file wrote.
        own = check_parameters(overlay(lower, written.parameters))
    except InvalidParameter as error:
        raise InvalidSpec([Issue(f"parameters.{error.name}", error.value, error.remedy)], where=where) from None
    parameters = {name: own[name] for name in written.parameters}
    return Preset(written.name, written.base, written.summary, parameters, own)


def _is_file(name_or_file: str) -> bool:
    return name_or_file.endswith(_SUFFIXES) or "/" in name_or_file


def _read(name_or_file: str, folder: Path) -> tuple[dict[str, Any], str, str]:
    """The document, a key that tells presets apart, and the words for an error's beginning."""
    if _is_file(name_or_file):
        path = (folder / os.path.expanduser(name_or_file)).resolve()
        return read_document(path), str(path), name_or_file
    if name_or_file not in list_presets():
        raise UnknownPreset(f"preset {name_or_file!r}: no such preset{suggestion(name_or_file, list_presets())}")
    for suffix in _SUFFIXES:
        entry = resources.files("presets").joinpath(name_or_file + suffix)
        if entry.is_file():
            return (
                parse_document(entry.read_text(encoding="utf-8"), where=name_or_file),
                name_or_file,
                f"preset {name_or_file}",
            )
    raise UnknownPreset(f"preset {name_or_file!r}: no such preset")
