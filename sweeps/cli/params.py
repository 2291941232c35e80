"""params: the documented parameters."""

from __future__ import annotations

from typing import Annotated

import typer

from f3rm_core import PARAMETERS, PARTS, Parameter, UsageError, value_text
from sweeps.cli.output import console, plain, print_json, table
from sweeps.cli.sweeps import Json
from sweeps.views import parameter_view


def params(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one, with all that is known.")] = None,
    part: Annotated[str | None, typer.Option(metavar="P", help=f"Only this part: {', '.join(PARTS)}.")] = None,
    as_json: Json = False,
) -> None:
    """List the parameters: default, what a sweep should search, and what each does.

    Examples: f3rm-sweeps params · f3rm-sweeps params max_res · f3rm-sweeps params --part feature-grid
    """
    chosen = [_named(name)] if name is not None else _of_part(part)
    if as_json:
        views = [parameter_view(parameter) for parameter in chosen]
        print_json(views if name is None else views[0])
    elif name is not None:
        _print_one(chosen[0])
    else:
        _print_all(chosen)


def _named(name: str) -> Parameter:
    from sweeps.spec.documents import no_such_parameter

    if name not in PARAMETERS:
        raise UsageError(f"parameter {name!r}: {no_such_parameter(name)}")
    return PARAMETERS[name]


def _of_part(part: str | None) -> list[Parameter]:
    from sweeps.spec.documents import suggestion

    if part is None:
        return list(PARAMETERS.values())
    wanted = part.replace("-", " ").replace("_", " ").lower()
    found = [parameter for parameter in PARAMETERS.values() if parameter.part.lower() == wanted]
    if not found:
        hint = suggestion(wanted, PARTS) or f"; known: {', '.join(PARTS)}"
        raise UsageError(f"--part {part!r}: no such part{hint}")
    return found


def _print_all(parameters: list[Parameter]) -> None:
    shown = table(None, ["parameter", "default", "unit", "sweep", "what"])
    part = None
    for parameter in parameters:
        if parameter.part != part:
            part = parameter.part
            shown.add_section()
            shown.add_row(f"[bold]{part}[/]", "", "", "", "")
        shown.add_row(
            f"  {parameter.name}",
            value_text(parameter.default),
            parameter.unit,
            plain(str(parameter.sweep)) if parameter.sweep else "[dim]not swept[/]",
            plain(parameter.summary),
        )
    console().print(shown)
    console().print("f3rm-sweeps params NAME tells what one does to quality, speed and memory")


def _print_one(parameter: Parameter) -> None:
    out = console()
    out.print(f"[bold]{parameter.name}[/]  {plain(parameter.summary)}")
    for word, said in (
        ("part", parameter.part),
        ("default", _default(parameter)),
        ("unit", parameter.unit or "-"),
        ("allowed", _allowed(parameter)),
        ("sweep", str(parameter.sweep) if parameter.sweep else f"no: {parameter.not_sweepable}"),
        ("quality", parameter.effects.quality or "no effect"),
        ("speed", parameter.effects.speed or "no effect"),
        ("memory", parameter.effects.memory or "no effect"),
        ("place", ", ".join(parameter.places)),
    ):
        out.print(f"  {word:<8} {said}", markup=False, soft_wrap=True)


def _default(parameter: Parameter) -> str:
    if parameter.default is None:
        return "as the name without its suffix"
    return value_text(parameter.default)


def _allowed(parameter: Parameter) -> str:
    """The hard bounds in words."""
    if parameter.kind == "bool":
        return "true, false"
    if parameter.choices:
        return ", ".join(parameter.choices)
    words = {"int": "integers", "ints": "lists of integers", "float": "numbers", "str": "any name"}[parameter.kind]
    bounds = (("above", parameter.above), ("from", parameter.low), ("to", parameter.high))
    return " ".join([words, *(f"{word} {bound:.10g}" for word, bound in bounds if bound is not None)])
