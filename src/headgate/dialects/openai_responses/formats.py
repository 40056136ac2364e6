"""`text`, `reasoning` and `include` of a request, in both directions."""

from __future__ import annotations

from headgate.dialects.openai_chat.formats import parse_response_format, render_response_format
from headgate.domain.request import Reasoning, ResponseFormat
from headgate.wire.json import Json, JsonObject

_INNER = "json_schema"
_SUMMARY = ("summary", "generate_summary")

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"
_PLAIN_INCLUDES = frozenset({LOGPROBS, ENCRYPTED})
"""Entries of `include` that a field says (log probabilities) or that only spell how this wire returns thoughts."""


def parse_text(value: JsonObject) -> tuple[ResponseFormat | None, JsonObject]:
    """The format in `text`, and what else stands there. A format the domain cannot hold stays with the rest."""
    wanted = value.get("format")
    if not isinstance(wanted, dict):
        return None, value
    found = parse_response_format(_nested(wanted))
    if found is None or render_format(found) != wanted:
        return None, value
    return found, {key: item for key, item in value.items() if key != "format"}


def _nested(flat: JsonObject) -> JsonObject:
    """A format of this wire as the chat wire nests it."""
    if flat.get("type") != _INNER:
        return flat
    return {"type": _INNER, _INNER: {key: item for key, item in flat.items() if key != "type"}}


def render_format(value: ResponseFormat) -> JsonObject:
    """Write `text.format`, extra keys included."""
    shape = render_response_format(value)
    inner = shape.pop(_INNER, {})
    return {**shape, **inner}


def parse_reasoning(value: JsonObject) -> tuple[Reasoning, str]:
    """Read `reasoning`, and the mark of how its summary was spelled ("" when it is not a plain word)."""
    effort = value.get("effort")
    known = {"effort"} if isinstance(effort, str) else set()
    spelled = [key for key in _SUMMARY if key in value]
    mark = ""
    if len(spelled) == 1 and isinstance(word := value[spelled[0]], str) and word and not word.isspace():
        known.add(spelled[0])
        mark = f"{spelled[0]}:{word}"
    extra = {key: item for key, item in value.items() if key not in known}
    return Reasoning(effort=effort if isinstance(effort, str) else None, visible=True if mark else None, extra=extra or None), mark


def render_own_reasoning(value: Reasoning, form: tuple[str, ...]) -> JsonObject:
    """Write the `reasoning` of a request that came from this wire."""
    shape: JsonObject = {} if value.effort is None else {"effort": value.effort}
    for mark in form:
        key, _, word = mark.partition(":")
        if key in _SUMMARY:
            shape[key] = word
    return {**shape, **(value.extra or {})}


def render_foreign_reasoning(value: Reasoning | None, *, visible: bool) -> JsonObject:
    """Write a wish about thinking that another wire worded: a summary is what can be seen of thoughts here."""
    shape: JsonObject = {} if value is None or value.effort is None else {"effort": value.effort}
    if visible:
        shape["summary"] = "auto"
    return shape


def plain_includes(value: list[Json]) -> str | None:
    """A mark with the entries of an `include` that needs no place of its own; None when it says more."""
    if value and all(isinstance(entry, str) and entry in _PLAIN_INCLUDES for entry in value):
        return "include:" + ",".join(value)
    return None
