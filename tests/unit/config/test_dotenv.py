"""The ``.env`` format, case by case, and what other programs may have written into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config.dotenv import LARGEST, parse_dotenv
from headgate.config.environment import read_environment
from headgate.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A = b ", "b"),
        ("  export A=b", "b"),
        ("export\tA=b", "b"),
        ("A=", ""),
        ("A=# nothing", ""),
        ("A=b # comment", "b"),
        ("A=b#c", "b#c"),
        ("A='b # c'  # comment", "b # c"),
        ("A='$HOME `id` $(id) \\n'", "$HOME `id` $(id) \\n"),
        ("A=$HOME/${X}/`id`", "$HOME/${X}/`id`"),
        ('A="$HOME/${X}"', "$HOME/${X}"),
        ('A="a\\nb\\t\\"c\\" \\\\ \\x"', 'a\nb\t"c" \\ \\x'),
        ('A="two\nlines"', "two\nlines"),
        ("A='two\nlines'", "two\nlines"),
        ("A=b=c==", "b=c=="),
        ("A=with spaces inside", "with spaces inside"),
        ("A=ключ", "ключ"),
        ("A=b\r\n", "b"),
        ("\ufeffA=b", "b"),
        ("A=x\nA=b", "b"),
    ],
)
def test_values(line: str, value: str) -> None:
    parsed = parse_dotenv(line)
    assert {name: entry.value for name, entry in parsed.values.items()} == {"A": value}
    assert parsed.warnings == ()


def test_foreign_lines_are_skipped_with_a_warning_that_does_not_quote_them() -> None:
    parsed = parse_dotenv('# fine\n\n! sk-secret\nA=1\nB=\'open\nC="closed" rest\n1D=2\nif true; then\nE=5\n')
    assert {name: (entry.value, entry.line) for name, entry in parsed.values.items()} == {"A": ("1", 4), "E": ("5", 9)}
    assert parsed.warnings == tuple(f".env:{line}: not NAME=value; skipped" for line in (3, 5, 6, 7, 8))
    assert "1" not in repr(parsed)


@given(st.text(alphabet="A=b'\"\\ #\n\t$xport", max_size=60))
def test_nothing_makes_it_fail(text: str) -> None:
    parsed = parse_dotenv(text)
    assert all(0 < entry.line <= text.count("\n") + 1 for entry in parsed.values.values())


@given(st.text(st.characters(exclude_characters="'\r", exclude_categories=("Cs",)), max_size=40))
def test_single_quotes_keep_everything(text: str) -> None:
    assert parse_dotenv(f"NAME='{text}'").values["NAME"].value == text


def test_the_real_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\nC=\nD=file\n")
    environment = read_environment({"A": "real", "B": "", "C": ""}, tmp_path)
    found = {name: environment.get(name) for name in "ABCDE"}
    assert {name: (entry.value, entry.origin) for name, entry in found.items() if entry} == {
        "A": ("real", "environment A"),
        "B": ("file", ".env:2 B"),
        "D": ("file", ".env:4 D"),
    }
    assert "real" not in repr(environment) + repr(found["A"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert read_environment({}, tmp_path).dotenv.values == {}
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_environment({}, tmp_path)
    (tmp_path / ".env").write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_environment({}, tmp_path)
