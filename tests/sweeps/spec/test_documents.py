"""Documents that are too large, too deep, or dangerous; and the line that an error names."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sweeps.errors import InvalidSpec
from sweeps.spec.documents import MAX_DEPTH, MAX_DOCUMENT_BYTES, parse_document, read_document
from sweeps.spec.presets import load_preset
from sweeps.spec.sweep import read_spec


def refusal(text: str) -> str:
    with pytest.raises(InvalidSpec) as caught:
        parse_document(text, where="a.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return str(caught.value)


def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    with file.open("wb") as stream:
        stream.truncate(100_000_000)
    for read in (read_spec, load_preset, read_document):
        with pytest.raises(InvalidSpec, match=r"huge\.yaml: larger than 1 MiB; give a sweep or a preset$"):
            read(file)


def test_a_device_without_an_end_is_refused() -> None:
    if os.path.exists("/dev/zero"):
        with pytest.raises(InvalidSpec, match="larger than 1 MiB"):
            read_document(Path("/dev/zero"))


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_deep_nesting_is_refused(levels: int, opening: str, closing: str) -> None:
    start = time.process_time()
    deep = opening * levels + "1" + closing * levels
    assert "nested more than 16 levels deep" in refusal(f"a: {deep}" if opening == "[" else deep)
    assert "nested more than 16 levels deep" in refusal(f'{{"a": {deep}}}')
    assert time.process_time() - start < 20  # not quadratic: a minute and more


def test_nesting_of_a_spec_is_allowed() -> None:
    deep = "[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1)
    assert "a" in parse_document(f"a: {deep}")
    assert "a" in parse_document(f'{{"a": {deep}}}')


def test_aliases_are_refused() -> None:
    bomb = "a: &a [1, 1, 1]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n"
    assert refusal(bomb) == "a.yaml: line 2, column 8: an alias (*a): write the value out"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: 2024-13-45", "a value can't be read"),
        ("a: " + "9" * 5000, "a value can't be read"),
        ("a: \x07", "not YAML"),
        ("? [1, 2]\n: 3", "unhashable"),
        ("{", "line 1, column 2: neither JSON (Expecting property name enclosed in double quotes) nor YAML"),
        ('{"a": 1,\n "b": ', "line 2, column 7: neither JSON (Expecting value) nor YAML"),
        ("a: [1", "line 1, column 6: expected ',' or ']'"),
    ],
)
def test_what_is_dangerous_or_unreadable_is_one_line(text: str, words: str) -> None:
    assert words in refusal(text)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidSpec, match="not UTF-8"):
        read_document(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b"a: " + b"x" * (MAX_DOCUMENT_BYTES - 3))
    assert len(read_document(tmp_path / "b.yaml")["a"]) == MAX_DOCUMENT_BYTES - 3


SPEC = """name: s
base: f3rm_default
space:
  max_res:
    type: int
    low: 2048
    high: 1024
  lr: {type: float, low: 0.0, high: 0.1, log: true}
  feat_max_res: {type: categorical, choices: []}
  feat_pe_n_freq: {type: int, low: 2, high: 8, when: {feat_use_pee: true}}
  hidden_dimm: {type: int, low: 32, high: 64}
objectives:
  - psnr
  - nope
allow: [unstable-rate]
"""


def test_each_fault_of_a_sweep_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(SPEC)
    with pytest.raises(InvalidSpec) as caught:
        read_spec(file)
    told = {issue.field: (issue.line, issue.remedy) for issue in caught.value.issues}
    assert told["space.max_res.low"] == (6, "must be below high (1024)")
    assert told["space.lr.low"][0] == 8
    assert told["space.feat_max_res.choices"] == (9, "give 1 to 256 values")
    assert told["space.feat_pe_n_freq.when.feat_use_pee"] == (10, "no such parameter; did you mean feat_use_pe?")
    assert told["space.hidden_dimm"] == (11, "no such parameter; did you mean hidden_dim?")
    assert told["objectives.1"][0] == 14
    assert told["allow.0"] == (15, "no such rule; did you mean unstable-rates?")
    assert str(caught.value).startswith(f"{file}: line 6: space.max_res.low=2048: must be below high (1024); ")


def test_a_presets_faults_name_their_line(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("name: p\nbase: f3rm_default\nparameters:\n  max_res: 512\n  lrr: 0.1\n")
    with pytest.raises(
        InvalidSpec, match=r"p\.yaml: line 5: parameters\.lrr=0\.1: no such parameter; did you mean lr\?"
    ):
        load_preset(file)
    file.write_text('{\t"name": "p",\n"base": "f3rm_default", "parameters": {"lrr": 0.1}}')  # a tab: no YAML
    with pytest.raises(InvalidSpec, match=r"p\.yaml: parameters\.lrr=0\.1: no such parameter"):
        load_preset(file)
