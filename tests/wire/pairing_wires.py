"""What the tests of translation pairs share: every ordered pair of wires, and a request on its way from one to the other."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from headgate.dialects import (
    anthropic_messages,
    bedrock_anthropic,
    bedrock_converse,
    gemini_generate,
    ollama_chat,
    openai_chat,
    openai_responses,
)
from headgate.dialects.base import ChatDialect, RenderedRequest, StreamContext
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Block, Text, ToolResult
from headgate.domain.request import Message, Request, ResponseFormat, user_message
from headgate.errors import Unsupported, WireError
from headgate.testing import samples
from headgate.wire.json import encode


def _sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reading = _sibling("reading_wires")

Wire = dict[str, Any]
replace = msgspec.structs.replace

DIALECTS: dict[str, ChatDialect] = {
    module.DIALECT.name: module.DIALECT
    for module in (openai_chat, openai_responses, anthropic_messages, gemini_generate, ollama_chat, bedrock_converse, bedrock_anthropic)
}
ALL = tuple(DIALECTS)
CHAT, RESPONSES, CLAUDE, GEMINI, OLLAMA, CONVERSE, INVOKE = ALL
CLAUDES = (CLAUDE, INVOKE, CONVERSE)
"""Wires on which Claude answers."""
ALTERNATING = (CLAUDE, INVOKE, GEMINI, CONVERSE)
"""Wires on which user and assistant take turns, and results of tools are part of the user's."""
OPENAI = (CHAT, RESPONSES)
FREE = (CHAT, RESPONSES, OLLAMA)
"""Wires on which messages follow one another in any order, system messages too."""
SAME = {(CLAUDE, INVOKE), (INVOKE, CLAUDE)}
"""One wire in two frames: nothing is translated between them."""
CONTEXT = StreamContext(samples.MODEL, "answer-1", samples.CREATED)
THINKER = replace(ANY_MODEL, reasoning="budget")
SPEAKER = replace(ANY_MODEL, reasoning="budget", audio=True, system_anywhere=True)
"""The model a source's client believes to speak to."""

PATHS = {
    CHAT: "/chat/completions",
    RESPONSES: "/responses",
    CLAUDE: "/v1/messages",
    GEMINI: "/v1beta/models/a-model:generateContent",
    OLLAMA: "/api/chat",
    CONVERSE: "/model/a-model/converse",
    INVOKE: "/model/a-model/invoke",
}


@dataclass(frozen=True)
class Crossing:
    """A request on its way: read from the wire of `source`, to be written for `target`."""

    source: str
    target: str
    request: Request
    able: Capabilities

    @cached_property
    def rendered(self) -> RenderedRequest:
        return DIALECTS[self.target].render_request(self.request, self.able)

    @cached_property
    def body(self) -> bytes:
        return encode(self.rendered.payload)

    @cached_property
    def wire(self) -> Wire:
        found: Wire = json.loads(self.body)
        return found

    @cached_property
    def turns(self) -> list[Any]:
        return reading.turns(self.target, self.wire)

    @cached_property
    def notes(self) -> set[str]:
        return {note.field for note in self.rendered.notes}

    @cached_property
    def back(self) -> Request:
        return DIALECTS[self.target].parse_request(self.body, self.rendered.path)

    def pieces(self, *kinds: str) -> list[Any]:
        """Pieces of the target's turns, in order."""
        return [piece for _, content in self.turns for piece in content if piece[0] in kinds]

    def noted(self, word: str) -> bool:
        """A note names a field that contains `word`."""
        return any(word in field for field in self.notes)


Check = Callable[[Crossing], None]


class Row(msgspec.Struct, frozen=True):
    """`said` is a request in the words of the domain, which every source writes on its own wire, or bodies by source."""

    case: int
    label: str
    said: Request | dict[str, Wire]
    check: Check
    sources: tuple[str, ...] = ALL
    targets: tuple[str, ...] = ALL
    able: Capabilities = ANY_MODEL


def said_by(source: str, said: Request | dict[str, Wire]) -> Request:
    """What the gateway reads of a client of `source` that says this."""
    dialect = DIALECTS[source]
    if isinstance(said, dict):
        body = {"model": "a-model", **said[source]} if source not in (GEMINI, CONVERSE, INVOKE) else said[source]
        return dialect.parse_request(json.dumps(body).encode(), PATHS[source])
    rendered = dialect.render_request(said, SPEAKER)
    return dialect.parse_request(encode(rendered.payload), rendered.path)


def pairs_of(sources: Iterable[str], targets: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The ordered pairs of different wires."""
    return ((one, other) for one in sources for other in targets if one != other and (one, other) not in SAME)


def name_of(case: int | str, label: str, source: str, target: str) -> str:
    return f"case-{case}-{label + '-' if label else ''}{source}-to-{target}"


def crossings(rows: Iterable[Row]) -> list[Any]:
    """Rows as parameters: (row, source, target)."""
    return [
        pytest.param(row, source, target, id=name_of(row.case, row.label, source, target))
        for row in rows
        for source, target in pairs_of(row.said if isinstance(row.said, dict) else row.sources, row.targets)
    ]


def ask(*messages: Message, **fields: Any) -> Request:
    """A request made by hand."""
    return Request(messages=messages or (HI,), **{"model": "a-model", "max_tokens": 6000, **fields})


def assistant(*blocks: Block) -> Message:
    return Message("assistant", blocks)


def result(call_id: str, name: str, *blocks: Block, error: bool | None = None) -> Message:
    return Message("tool", (ToolResult(call_id, blocks or (Text("rain"),), name, error),))


def refused(*places: str) -> Check:
    """The request is refused, and the refusal names one of these places."""

    def check(crossing: Crossing) -> None:
        with pytest.raises((Unsupported, WireError)) as caught:
            _ = crossing.rendered
        assert caught.value.param is not None and caught.value.param.startswith(places)
        assert caught.value.message

    return check


def refused_or(check: Check) -> Check:
    """Refused with a place, or as `check` wants it."""

    def either(crossing: Crossing) -> None:
        try:
            _ = crossing.rendered
        except Unsupported as error:
            assert error.param
            return
        check(crossing)

    return either


def noted(*words: str) -> Check:
    """Some note names each of these fields."""

    def check(crossing: Crossing) -> None:
        assert all(crossing.noted(word) for word in words), crossing.notes

    return check


HI = user_message("Hi.")
FORMED = ask(HI, response_format=ResponseFormat("json_schema", samples.SCHEMA, "weather"))
BY_TOOL = replace(ANY_MODEL, structured_output="tool")
