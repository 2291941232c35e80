"""Reading YAML and JSON documents that users write, with errors that name the line and the field."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from f3rm_core import PARAMETERS
from sweeps.errors import MISSING, InvalidSpec, Issue

MAX_DOCUMENT_BYTES = 1 << 20
"""A sweep's spec has a few kilobytes: what is larger was not meant for us."""
MAX_DEPTH = 16
"""Mappings and lists in each other; a spec has 4."""
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Pattern of the names that users give."""
NOT_EMPTY = r"^[^\x00]+$"
_PATTERNS = {
    NAME: "give letters, digits and . _ - (the first a letter or a digit), at most 64",
    NOT_EMPTY: "give a text that is not empty and has no NUL",
}


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of YAML 1.2 (1e-5 is a number), no key twice, no aliases, and no deep nesting."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):  # a few lines of them can stand for billions of values
            event = self.peek_event()
            problem = f"an alias (*{event.anchor}): write the value out"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        if self._depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, _TOO_DEEP, self.peek_event().start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


# PyYAML follows YAML 1.1, where a float needs a dot and a signed exponent: 1e-5 would be a text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


def read_document(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML or JSON file.

    Raises:
        InvalidSpec: the file is missing, unreadable, not YAML, or not a mapping.
    """
    return parse_document(read_text(path, where=str(path)), where=str(path))


def read_text(path: Path, *, where: str) -> str:
    """Read a document's text: UTF-8, at most MAX_DOCUMENT_BYTES.

    Args:
        path: the file.
        where: the words for an error's beginning.

    Raises:
        InvalidSpec: the file is missing, unreadable, too large, or not text.
    """
    try:
        with path.open("rb") as stream:  # no more than is looked at: the file may be a device, or huge
            content = stream.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) <= MAX_DOCUMENT_BYTES:
            return content.decode()
        remedy = f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB; give a sweep or a preset"
    except FileNotFoundError:
        remedy = "no such file; give the path of a YAML or JSON file"
    except OSError as error:
        remedy = f"can't be read ({error.strerror})"
    except UnicodeDecodeError:
        remedy = "can't be read (not UTF-8 text)"
    raise InvalidSpec([Issue("", MISSING, remedy)], where=where)


def parse_document(text: str, *, where: str = "") -> dict[str, Any]:
    """Parse a mapping from YAML (JSON is a part of YAML).

    Raises:
        InvalidSpec: the text is not YAML, or not a mapping.
    """
    try:
        # JSON first: tabs are legal there and not in YAML.
        document = _json(text) if text.lstrip().startswith("{") else None
        if document is None:
            document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InvalidSpec([Issue("", MISSING, _unreadable(text, error))], where=where) from None
    except ValueError as error:  # a date that is none, a number of thousands of digits
        raise InvalidSpec([Issue("", MISSING, f"a value can't be read: {error}")], where=where) from None
    if _is_too_deep(document):
        raise InvalidSpec([Issue("", MISSING, _TOO_DEEP)], where=where)
    if not isinstance(document, dict):
        found = "nothing" if document is None else type(document).__name__
        raise InvalidSpec([Issue("", MISSING, f"expected `key: value` lines, found {found}")], where=where)
    for key in document:
        if not isinstance(key, str):
            raise InvalidSpec([Issue(str(key), MISSING, "keys must be text")], where=where)
    return document


def _unreadable(text: str, error: yaml.YAMLError) -> str:
    """Where and why a text is no YAML; why it is no JSON, if it begins as that does."""
    if isinstance(error, yaml.parser.ParserError) and re.match(r'\s*\{\s*("|$)', text):
        try:
            json.loads(text)
        except json.JSONDecodeError as of_json:
            return f"line {of_json.lineno}, column {of_json.colno}: neither JSON ({of_json.msg}) nor YAML"
        except (ValueError, RecursionError):  # well formed, and unreadable as YAML says
            pass
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{line}{getattr(error, 'problem', None) or 'not YAML'}"


@contextmanager
def lines_named(text: str, *, where: str) -> Iterator[None]:
    """Issues of an InvalidSpec that this block raises get the lines of their fields in a document's text.

    Args:
        text: the document.
        where: its name, which errors without one get; errors of other documents pass as they are.
    """
    try:
        yield
    except InvalidSpec as error:
        if error.where not in ("", where):
            raise
        issues = [replace(issue, line=_line_of(text, issue.field)) if issue.field else issue for issue in error.issues]
        raise InvalidSpec(sorted(issues, key=lambda issue: issue.line or 0), where=where) from None


def _line_of(text: str, field: str) -> int | None:
    """The line of a dotted field in a document, from 1; of the nearest part above it where it is absent."""
    try:
        node = yaml.compose(text, _Loader)
    except (yaml.YAMLError, ValueError):  # JSON with tabs
        return None
    line = None
    for part in field.split("."):
        if isinstance(node, yaml.MappingNode):
            key, node = next(((key, value) for key, value in node.value if key.value == part), (None, None))
            line = key.start_mark.line + 1 if key is not None else line
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _json(text: str) -> Any:
    """The JSON document; None where the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_too_deep(document: Any) -> bool:
    layer = [document]
    for _ in range(MAX_DEPTH + 1):
        layer = [part for item in layer for part in _parts(item)]
    return bool(layer)


def _parts(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def suggestion(word: str, known: Iterable[str], *, listed: str = "") -> str:
    """ "; did you mean X?" for a close match among `known`, else what is known if that is short, else where it is
    `listed`."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    if len(names) <= 12:
        return f"; known: {', '.join(names)}"
    return f"; {listed}" if listed else ""


def no_such_parameter(name: str) -> str:
    """What to say of a name that no parameter has."""
    return "no such parameter" + suggestion(name, PARAMETERS, listed="`f3rm-sweeps params` lists them")


def issues_of(error: ValidationError, model: type[BaseModel], *, tags: Iterable[str] = ()) -> list[Issue]:
    """Turn pydantic's errors into ours: the user's field, the value given, what to do.

    Args:
        error: what pydantic raised.
        model: the model that was validated; its fields are suggested for unknown keys.
        tags: discriminator values, which pydantic puts into the path and the user did not write.
    """
    drop = set(tags)
    issues = []
    for item in error.errors(include_url=False, include_context=True):
        place = tuple(part for part in item["loc"] if part not in drop)
        field = ".".join(str(part) for part in place)
        kind = item["type"]
        if kind == "extra_forbidden":
            issues.append(Issue(field, item["input"], "unknown key" + _meant(model, item["loc"], drop)))
        elif kind == "missing":
            issues.append(Issue(field, MISSING, "is required"))
        elif kind == "union_tag_not_found":
            issues.append(Issue(f"{field}.type", MISSING, f"is required: one of {', '.join(sorted(drop))}"))
        elif kind == "union_tag_invalid":
            given = item["input"].get("type") if isinstance(item["input"], Mapping) else item["input"]
            issues.append(Issue(f"{field}.type", given, f"must be one of {', '.join(sorted(drop))}"))
        elif kind in ("model_type", "model_attributes_type", "dict_type"):
            issues.append(Issue(field, item["input"], "must be a mapping of `key: value`"))
        else:
            issues.append(Issue(field, item["input"], remedy_of(item)))
    return issues


def remedy_of(item: Mapping[str, Any]) -> str:
    """One of pydantic's errors in our words: what is wrong with the value, and what would do."""
    message, pattern = str(item["msg"]), item.get("ctx", {}).get("pattern")
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    message = message.removeprefix("Value error, ").removesuffix(", unable to parse string as an integer")
    message = message.removesuffix(", unable to parse string as a number")
    return message.replace("Input should be", "must be").replace("a valid integer", "an integer").replace("valid ", "")


def _meant(model: type[BaseModel], place: tuple[int | str, ...], tags: set[str]) -> str:
    """Of a key that is not known at its place: the one other place that has it, or a key like it here."""
    word = str(place[-1])
    elsewhere = list(_paths_of(model, word))
    if elsewhere == [word]:
        return "; it belongs at the top"
    if len(elsewhere) == 1:
        return f"; did you mean {elsewhere[0]}?"
    return suggestion(word, _fields_at(model, place[:-1], tags))


def _paths_of(model: type[BaseModel], word: str) -> Iterator[str]:
    """Dotted paths of the fields with a name, in a model and the models in it."""
    for name, known in model.model_fields.items():
        if name == word:
            yield name
        if isinstance(known.annotation, type) and issubclass(known.annotation, BaseModel):
            yield from (f"{name}.{path}" for path in _paths_of(known.annotation, word))


def _fields_at(model: type[BaseModel], place: tuple[int | str, ...], tags: set[str]) -> list[str]:
    """Names of the fields of the model that sits at a path; [] where that is no model."""
    known: Any = model
    for part in place:
        if isinstance(known, type) and issubclass(known, BaseModel) and part in known.model_fields:
            known = known.model_fields[str(part)].annotation
        else:
            by_tag = {sub.model_fields["type"].annotation.__args__[0]: sub for sub in _models_in(known)}  # type: ignore[union-attr]
            if part in tags:
                known = by_tag.get(part)
    if isinstance(known, type) and issubclass(known, BaseModel):
        return list(known.model_fields)
    return []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Models with a `type` tag anywhere inside an annotation such as dict[str, A | B]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation] if "type" in annotation.model_fields else []
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]
