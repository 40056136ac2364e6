"""The JSON value inside a model's answer (OCT-31).

A tokenizer walks the text once from each place where a value may begin and rebuilds it without trailing commas and plus signs; what lies
inside quotes is copied as it stands. A fence is only a hint where to look first, so an unclosed one, or one inside a string, is no problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from headgate.batch.reasons import Reason
from headgate.errors import WireError
from headgate.wire.json import Json, decode

MAX_ANSWER = 8 << 20
"""Bytes of answer text that are looked at."""
MAX_STARTS = 64
MAX_DEPTH = 128

_FENCE = re.compile(r"```[ \t]*([A-Za-z0-9_+-]*)[^\n]*\n")
_TOKEN = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'  # a whole string
    r"|[{}\[\],:]"
    r"|[ \t\r\n]++"
    r"|[+-]?(?:\d|\.\d)[0-9.eE+-]*+"
    r"|[A-Za-z_][A-Za-z0-9_]*+"
    r"|.",
    re.DOTALL,
)
_OPENERS = {"{": "}", "[": "]"}
_WORDS = frozenset({"true", "false", "null"})


class Extracted(msgspec.Struct, frozen=True):
    """The value found, and what had to be repaired to read it (``trailing_comma``, ``plus_sign``)."""

    value: Json
    repairs: tuple[str, ...] = ()


class AnswerFault(msgspec.Struct, frozen=True):
    """Why the text gives no value; `reason` is one of empty, parse_error, truncated, too_large."""

    reason: Reason
    message: str


class _Cut(Exception):
    """The text ended inside a value."""


class _Broken(Exception):
    """This is not a value."""


def extract_json(text: str, *, cut: bool = False, limit: int = MAX_ANSWER) -> Extracted | AnswerFault:
    """The JSON value of `text`: all of it, else the first object or array in a ``json`` fence, in any fence, or anywhere.

    `cut` says that the provider stopped at its output limit. Never raises; `limit` counts characters.
    """
    if len(text) > limit:
        return AnswerFault(Reason.TOO_LARGE, f"the answer has {len(text):,} characters; the limit is {limit:,}")
    body = text.strip().removeprefix("\ufeff").strip()
    if not body:
        return AnswerFault(Reason.EMPTY, "the answer is empty")
    whole = _decoded(body)
    if whole is not None:
        return Extracted(whole.value)
    aside: Extracted | None = None
    for start in _starts(body):
        try:
            found = _value_at(body, start)
        except _Cut:
            return _truncated()
        except _Broken:
            continue
        if not _is_aside(found.value):
            return found
        aside = aside or found
    if aside is not None:
        return aside
    return _truncated() if cut else AnswerFault(Reason.PARSE_ERROR, f"no JSON value in the answer, which begins {body[:80]!r}")


def _truncated() -> AnswerFault:
    return AnswerFault(Reason.TRUNCATED, "the answer ends before its JSON value does")


def _is_aside(value: Json) -> bool:
    """A list of plain values, such as the ``[1]`` of a citation: taken only if there is nothing better."""
    return isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)


def _decoded(text: str) -> Extracted | None:
    try:
        return Extracted(decode(text, what="the answer"))
    except WireError:
        return None


def _starts(text: str) -> Iterator[int]:
    """Places where a value may begin, likeliest first, each once, at most `MAX_STARTS`."""
    fences = list(_FENCE.finditer(text))[:MAX_STARTS]
    named = [fence.end() for fence in fences if fence[1].lower() == "json"]
    others = [fence.end() for fence in fences if fence[1].lower() != "json"]
    seen: set[int] = set()
    for place in (*named, *others):
        first = re.compile(r"\s*+").match(text, place)
        start = first.end() if first else place
        if text[start : start + 1] in _OPENERS and start not in seen:
            seen.add(start)
            yield start
    for found in re.finditer(r"[{\[]", text):
        if len(seen) >= MAX_STARTS:
            return
        if found.start() not in seen:
            seen.add(found.start())
            yield found.start()


def _value_at(text: str, start: int) -> Extracted:
    """The balanced value that begins at `start`. Raises `_Cut` or `_Broken`."""
    tokens, repairs = _rebuilt(text, start)
    found = _decoded("".join(tokens))
    if found is None:
        raise _Broken
    return Extracted(found.value, tuple(dict.fromkeys(repairs)))


def _rebuilt(text: str, start: int) -> tuple[list[str], list[str]]:
    out: list[str] = []
    repairs: list[str] = []
    closers: list[str] = []
    comma: int | None = None
    for match in _TOKEN.finditer(text, start):
        token = match[0]
        head = token[0]
        if head in "}]":
            if comma is not None:
                out[comma] = ""
                repairs.append("trailing_comma")
            if closers.pop() != head:
                raise _Broken
            out.append(token)
            comma = None
            if not closers:
                return out, repairs
        elif head.isspace():
            out.append(" ")
        else:
            if match.end() == len(text) and _may_go_on(token):
                raise _Cut
            out.append(_checked(token, repairs, closers))
            comma = len(out) - 1 if head == "," else None
    raise _Cut


def _may_go_on(token: str) -> bool:
    """True for what could be the beginning of a number or a word."""
    return token in ("+", "-") or any(word.startswith(token) for word in _WORDS)


def _checked(token: str, repairs: list[str], closers: list[str]) -> str:
    head = token[0]
    if head in _OPENERS:
        closers.append(_OPENERS[head])
        if len(closers) > MAX_DEPTH:
            raise _Broken
        return token
    if head == '"':
        if len(token) == 1:
            raise _Cut
        return token
    if head == "+" and len(token) > 1:
        repairs.append("plus_sign")
        return token[1:]
    if head.isdigit() or head in ",:-." or token in _WORDS:
        return token
    raise _Broken
