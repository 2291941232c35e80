"""Writes tables from the registries: docs/parameters.md, docs/rules.md, and the table between two markers in README.md.

python tools/parameter_table.py           # writes them
python tools/parameter_table.py --check   # exit code 1 if one is out of date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from f3rm_core import PARAMETERS, PARTS, Parameter, value_text
from sweeps.spec.rules import IMPOSSIBLE, RULES

ROOT = Path(__file__).resolve().parent.parent
START = "<!-- parameters: made by tools/parameter_table.py -->\n"
END = "<!-- parameters: end -->"

_INTRODUCTION = """# Parameters

<!-- Made by tools/parameter_table.py from the registry in f3rm_core/parameter_table: change it there. -->

Presets, sweeps and `--set` speak these names. *Sweep* is where a search of one parameter is worth its time, narrower
than what is allowed; what a sweep may not vary says why. Quality, speed and memory tell what a larger value, or turning
it on, does; an empty cell: nothing. They are expectations, not measurements.

A name such as `lr` sets all of its places; with a suffix (`lr_fields`) it sets one, and wins over the name without.
"""


_RULES_INTRODUCTION = f"""# Rules

<!-- Made by tools/parameter_table.py from sweeps/spec/rules.py: change it there. -->

Combinations of parameters that are known to go wrong. `f3rm-sweeps check PRESET` runs them on a configuration,
`f3rm-sweeps check SWEEP.yaml` on 512 configurations drawn from a sweep's space, and tells the share that breaks each;
`POST /api/v1/configs/check` does the same. A sweep of whose space a part breaks an *error* is refused, unless its spec
names the rule: `allow: [unstable-rates]`. Where none of the 512 met it, a trial that does is not started and fails as
`invalid`. A *warning* refuses nothing.

The limits are rules of thumb; memory is what is [predicted](memory.md) for a GPU with tinycudann and a typical
scene. `{IMPOSSIBLE}`, an error too, is what can't be built at all,
such as a `max_res` below `base_res`: allowed, such trials fail as `invalid` while the others run.

| rule | severity | parameters | what happens | what to do |
|---|---|---|---|---|
"""


def page() -> str:
    """docs/parameters.md."""
    return "\n".join([_INTRODUCTION, *(_section(part) for part in PARTS)])


def rules_page() -> str:
    """docs/rules.md."""
    rows = []
    for rule in RULES.values():
        names = ", ".join(f"`{name}`" for name in rule.parameters if PARAMETERS[name].default is not None)
        rows.append(f"| `{rule.id}` | {rule.severity} | {names} | {rule.message} | {rule.remedy} |\n")
    return _RULES_INTRODUCTION + "".join(rows)


def overview() -> str:
    """The README's table: the parts with the names of their parameters."""
    lines = ["| part | parameters |", "|---|---|"]
    for part in PARTS:
        names = [f"`{parameter.name}`" for parameter in _of(part) if parameter.default is not None]
        lines.append(f"| {part} | {', '.join(names)} |")
    return "\n".join(lines) + "\n"


def with_overview(readme: str) -> str:
    """A README with the table between its markers replaced.

    Raises:
        ValueError: it lacks a marker.
    """
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"README.md needs the lines {START.strip()} and {END}")
    return f"{before}{START}{overview()}{END}{after}"


def _of(part: str) -> list[Parameter]:
    return [parameter for parameter in PARAMETERS.values() if parameter.part == part]


def _section(part: str) -> str:
    lines = [
        f"## {part[0].upper()}{part[1:]}\n",
        "| parameter | what | default | unit | sweep | quality | speed | memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, _of(part))]) + "\n"


def _row(parameter: Parameter) -> str:
    effects = parameter.effects
    cells = [
        f"`{parameter.name}`",
        parameter.summary,
        value_text(parameter.default) if parameter.default is not None else "as without suffix",
        parameter.unit,
        str(parameter.sweep) if parameter.sweep else f"no: {parameter.not_sweepable}",
        effects.quality or "",
        effects.speed or "",
        effects.memory or "",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the parameters' tables.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a file is out of date")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    docs = ROOT / "docs"
    wanted = {
        docs / "parameters.md": page(),
        docs / "rules.md": rules_page(),
        readme: with_overview(readme.read_text()),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is out of date' if check else 'written'}")
        if not check:
            path.write_text(wanted[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
