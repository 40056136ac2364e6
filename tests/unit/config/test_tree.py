"""YAML as texts with places: what is taken, and what careless or hostile files say (faults I12, I13)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config.tree import DEEPEST, LARGEST, MOST_ALIASES, Branch, Leaf, Series, kind_of, parse_tree, plain, read_tree, substituted
from headgate.errors import ConfigError


def only(text: str) -> Leaf:
    """The value of the only key."""
    root = parse_tree(text, "f.yaml")
    assert isinstance(root, Branch)
    ((_, node),) = root.entries.values()
    assert isinstance(node, Leaf)
    return node


@pytest.mark.parametrize(
    ("written", "text", "kind"),
    [
        ("no", "no", "str"),
        ("NO", "NO", "str"),
        ("on", "on", "str"),
        ("y", "y", "str"),
        ("true", "true", "bool"),
        ("1.10", "1.10", "float"),
        ("010", "010", "int"),
        ("0x1F", "0x1F", "str"),
        ("12:30:00", "12:30:00", "str"),
        ("2026-01-01", "2026-01-01", "str"),
        ("1_000", "1_000", "str"),
        (".inf", ".inf", "str"),
        ("~", "~", "null"),
        ("", "", "null"),
        ("'5'", "5", "str"),
        ('"true"', "true", "str"),
        ("1e3", "1e3", "float"),
        ("=", "=", "str"),
        ("0.000000001", "0.000000001", "float"),
    ],
)
def test_values_stay_what_was_written(written: str, text: str, kind: str) -> None:
    leaf = only(f"a: {written}")
    assert (leaf.text, leaf.kind, leaf.where) == (text, kind, leaf.where)


def test_places_are_lines_and_columns_from_one() -> None:
    root = parse_tree("a:\n  - x\n  - {b: 1}\n", "f.yaml")
    assert isinstance(root, Branch)
    where, node = root.entries["a"]
    assert where == "f.yaml:1:1"
    assert isinstance(node, Series)
    assert [item.where for item in node.items] == ["f.yaml:2:5", "f.yaml:3:5"]
    assert plain(root) == {"a": ["x", {"b": 1}]}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", 'f.yaml:2:1: the key "a" stands here twice (first at f.yaml:1:1)'),
        ("a: {b: 1, b: 2}", 'f.yaml:1:11: the key "b" stands here twice'),
        ("a: !!python/object/apply:os.system [id]", "f.yaml:1:4: tags (!…) are not taken"),
        ("a: !!str 5", "f.yaml:1:4: tags (!…) are not taken"),
        ("a: !secret x", "tags (!…) are not taken"),
        ("d: &d {x: 1}\na:\n  <<: *d", "f.yaml:3:3: merge keys (<<) are not taken"),
        ("? [a]\n: 1", "a key must be a single text"),
        (BOMB, "its aliases make more of it than is taken"),
        ("a: &a [*a]", "its aliases make more of it than is taken"),
        ("a: &a 1\nb: [" + ", ".join(["*a"] * (MOST_ALIASES + 1)) + "]", f"more than {MOST_ALIASES} aliases"),
        ("a: " + "[" * 5000, f"nested deeper than {DEEPEST} levels"),
        ("a: " + "{b: " * 5000, f"nested deeper than {DEEPEST} levels"),
        ("a: *nothing", "not valid YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", "not valid YAML: but found another document"),
        ("a:\n\t- b", "f.yaml:2:1: not valid YAML"),
        ("a: \x07", "not valid YAML"),
    ],
)
def test_what_is_not_taken(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_tree(text, "f.yaml")
    assert said in str(caught.value)


def test_an_alias_is_a_copy() -> None:
    assert plain(parse_tree("a: &x {k: [1]}\nb: *x", "f") or Leaf("", "null", "")) == {"a": {"k": [1]}, "b": {"k": [1]}}


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_tree(path)
    path.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_tree(path)
    path.write_bytes("\ufeffa: 1".encode())
    assert isinstance(read_tree(path), Branch)
    path.write_bytes(b"# nothing\n")
    assert read_tree(path) is None


@given(st.text(alphabet="a:-[]{}&*!|>'\"#%@,?\n \t<$~0", max_size=60))
def test_nothing_but_a_config_error_comes_out(text: str) -> None:
    try:
        parse_tree(text, "f.yaml")
    except ConfigError as error:
        assert error.where is not None


VARIABLES = {"A": "x", "LIST": "[1, 2]", "NESTED": "${A}", "N": "5", "YAML": "a: b\n- c: !!tag"}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("${A}", "x"),
        ("pre-${A}-${N}-post", "pre-x-5-post"),
        ("${LIST}", "[1, 2]"),
        ("${NESTED}", "${A}"),
        ("${YAML}", "a: b\n- c: !!tag"),
        ("${ABSENT:-otherwise}", "otherwise"),
        ("${ABSENT:-}", ""),
        ("${A:-otherwise}", "x"),
        ("$${A}", "${A}"),
        ("$A and $", "$A and $"),
    ],
)
def test_variables_are_put_in_after_parsing_and_never_read_as_yaml(written: str, text: str) -> None:
    leaf = substituted(only(f"a: '{written}'"), VARIABLES.get)
    assert isinstance(leaf, Leaf)
    assert (leaf.text, leaf.kind) == (text, "str")


@given(st.text(min_size=1))
def test_whatever_a_variable_holds_is_one_text(value: str) -> None:
    root = parse_tree("a: ${X}\nb: ['${X}']", "f")
    assert root is not None
    assert plain_text(substituted(root, {"X": value}.get)) == {"a": value, "b": [value]}


def plain_text(node: object) -> object:
    """The texts of a tree."""
    if isinstance(node, Branch):
        return {key: plain_text(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Series):
        return [plain_text(item) for item in node.items]
    return node.text if isinstance(node, Leaf) else None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("${ABSENT}", "f.yaml:1:4: the variable ABSENT is not set"),
        ("${}", "${ is not followed by a variable's name"),
        ("${A", "${ is not followed by a variable's name"),
        ("${1X}", "${ is not followed by a variable's name"),
    ],
)
def test_variables_that_cannot_be_put_in(written: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        substituted(only(f"a: '{written}'"), VARIABLES.get)
    assert said in str(caught.value)


@given(st.integers(-(10**9), 10**9), st.booleans())
def test_numbers_are_numbers(number: int, signed: bool) -> None:
    assert kind_of(f"{number:+d}" if signed else str(number)) == "int"
