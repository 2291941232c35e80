"""Presets: named sets of parameters, each a difference from its base, down to f3rm_default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from f3rm_core import PARAMETERS, InvalidParameter, check_parameters
from sweeps.errors import MISSING, InvalidSpec, Issue, UnknownPreset
from sweeps.spec.documents import NAME, issues_of, lines_named, parse_document, read_text, suggestion

ROOT_PRESET = "f3rm_default"
_SUFFIXES = (".yaml", ".yml", ".json")


class PresetDocument(BaseModel):
    """A preset as a user writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=NAME)
    base: str | None = None
    summary: str = ""
    trade_off: str = Field(default="", description="What it is expected to gain and to give up against its base.")
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
        trade_off: what it is expected to gain and to give up against its base.
    """

    name: str
    base: str | None
    summary: str
    parameters: Mapping[str, Any]
    resolved: Mapping[str, Any] = field(repr=False)
    trade_off: str = ""


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


def preset_in(field: str, name_or_file: str) -> Preset:
    """Load the preset that a field of a document names; that it can't be had is this field's fault.

    Raises:
        InvalidSpec: names the field.
    """
    try:
        return load_preset(name_or_file)
    except UnknownPreset as error:
        remedy = str(error).split(": ", 1)[1]
    except InvalidSpec as error:
        remedy = str(error).removeprefix(f"{name_or_file}: ")
    raise InvalidSpec([Issue(field, name_or_file, remedy)])


def resolve_preset(document: Mapping[str, Any], *, where: str = "") -> Preset:
    """The preset that a document describes; its base's path starts from the current folder.

    Raises:
        InvalidSpec: names the field at fault.
    """
    return _resolve(document, where=where, folder=Path(), seen=())


def overlay(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of `upper` over those of `lower`.

    A flat name in `upper` (lr) sets all its places, so suffixed names in `lower` (lr_fields) give way to it.
    """
    overridden = frozenset[str]().union(*map(_suffixed, upper))
    return {**{name: value for name, value in lower.items() if name not in overridden}, **upper}


def value_of(configuration: Mapping[str, Any], name: str) -> Any:
    """What a configuration trains with. A suffixed name (lr_fields) that it lacks follows its flat one; a name that is
    newer than the configuration has its default."""
    if name in configuration:
        return configuration[name]
    flat = next((flat for flat in PARAMETERS if name in _suffixed(flat)), None)
    return PARAMETERS[name].default if flat is None else value_of(configuration, flat)


@cache
def _suffixed(flat: str) -> frozenset[str]:
    """Names such as lr_fields that override one place of the flat name."""
    return frozenset(
        name for name, parameter in PARAMETERS.items() if parameter.default is None and name.startswith(f"{flat}_")
    )


def default_parameters() -> dict[str, Any]:
    """The documented default of every parameter that has one of its own."""
    return {name: parameter.default for name, parameter in PARAMETERS.items() if parameter.default is not None}


def _load(name_or_file: str, *, folder: Path, seen: tuple[str, ...]) -> Preset:
    text, key, where = _read(name_or_file, folder)
    if key in seen:
        raise InvalidSpec([Issue("base", name_or_file, "bases form a circle")], where=where)
    with lines_named(text, where=where):
        base_folder = Path(key).parent if is_file(name_or_file) else Path()
        return _resolve(parse_document(text, where=where), where=where, folder=base_folder, seen=(*seen, key))


def _resolve(document: Mapping[str, Any], *, where: str, folder: Path, seen: tuple[str, ...]) -> Preset:
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
        lower = _base_of(written.base, where=where, folder=folder, seen=seen).resolved
    try:
        # The layer alone first: an error then names what this file wrote.
        own = check_parameters(overlay(lower, written.parameters))
    except InvalidParameter as error:
        raise InvalidSpec([Issue(f"parameters.{error.name}", error.value, error.remedy)], where=where) from None
    parameters = {name: own[name] for name in written.parameters}
    return Preset(written.name, written.base, written.summary, parameters, own, written.trade_off)


def _base_of(base: str, *, where: str, folder: Path, seen: tuple[str, ...]) -> Preset:
    """The base that a document names; that there is none is the document's fault."""
    try:
        if not is_file(base) or os.path.isfile(_path(base, folder)):
            return _load(base, folder=folder, seen=seen)
        remedy = "no such file; give a preset's name, or a file"
    except UnknownPreset as error:
        remedy = str(error).split(": ", 1)[1]
    raise InvalidSpec([Issue("base", base, remedy)], where=where)


def _path(file: str, folder: Path) -> Path:
    return (folder / os.path.expanduser(file)).resolve()


def is_file(name_or_file: str) -> bool:
    """Whether a word names a file, by its form, and not a preset that ships."""
    return name_or_file.endswith(_SUFFIXES) or "/" in name_or_file


def _read(name_or_file: str, folder: Path) -> tuple[str, str, str]:
    """The text, a key that tells presets apart, and the words for an error's beginning."""
    if is_file(name_or_file):
        path = _path(name_or_file, folder)
        return read_text(path, where=name_or_file), str(path), name_or_file
    if name_or_file not in list_presets():
        raise UnknownPreset(f"preset {name_or_file!r}: no such preset{suggestion(name_or_file, list_presets())}")
    for suffix in _SUFFIXES:
        entry = resources.files("presets").joinpath(name_or_file + suffix)
        if entry.is_file():
            return entry.read_text(encoding="utf-8"), name_or_file, f"preset {name_or_file}"
    raise UnknownPreset(f"preset {name_or_file!r}: no such preset")
