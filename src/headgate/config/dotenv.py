"""The ``.env`` file: names and values, nothing is executed or interpolated.

::

    # a comment
    OPENAI_API_KEY=sk-…            # a comment after a space and a hash
    export ANTHROPIC_API_KEY='…'   # single quotes: as it stands
    NOTE="two\\nlines"             # double quotes: \\n \\t \\" \\\\ and line breaks

A line that is none of this is skipped with a warning that names its number, never its content: the file may belong to other programs too.
"""

from __future__ import annotations

import re

import msgspec

LARGEST = 1 << 20
_START = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*")
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_SINGLE = re.compile(r"'([^']*)'[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*(?:#[^\n]*)?(?:\n|\Z)', re.DOTALL)
_BARE = re.compile(r"([^\n]*?)(?:[ \t]+#[^\n]*|[ \t]*)(?:\n|\Z)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


class Entry(msgspec.Struct, frozen=True):
    """A value and the line, from 1, on which it stands."""

    value: str
    line: int


class Dotenv(msgspec.Struct, frozen=True):
    """What a ``.env`` file says. Of a name given twice the last value counts."""

    values: dict[str, Entry] = {}
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Dotenv({', '.join(sorted(self.values))})"


def parse_dotenv(text: str) -> Dotenv:
    """Parse the text of a ``.env`` file; never raises."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, Entry] = {}
    warnings: list[str] = []
    position = 0
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        blank = _BLANK.match(text, position)
        if blank is not None:
            position = blank.end() or len(text)
            continue
        start = _START.match(text, position)
        found = None if start is None else _value(text, start.end())
        if start is None or found is None:
            warnings.append(f".env:{line}: not NAME=value; skipped")
            position = _next_line(text, position)
            continue
        value, position = found
        values[start[1]] = Entry(value, line)
    return Dotenv(values, tuple(warnings))


def _value(text: str, position: int) -> tuple[str, int] | None:
    """The value that begins here, and where the next line begins; None for quotes that do not close or are followed by something."""
    quote = text[position : position + 1]
    if quote == "'":
        match = _SINGLE.match(text, position)
        return None if match is None else (match[1], match.end())
    if quote == '"':
        match = _DOUBLE.match(text, position)
        return None if match is None else (_ESCAPE.sub(_unescaped, match[1]), match.end())
    match = _BARE.match(text, position)
    assert match is not None
    value = "" if match[1].startswith("#") else match[1]
    return value, match.end()


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])


def _next_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1
