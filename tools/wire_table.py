"""What each chat wire can say, found by asking: small requests of another origin, rendered by every dialect.

A row is *yes* when nothing was reported, *said otherwise* or *left out* when the dialect reported that, *refused* when it raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headgate.dialects import anthropic_messages, gemini_generate, openai_chat
from headgate.dialects.base import ChatDialect
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Cache, Media, MediaKind, Text, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message, user_message
from headgate.errors import Unsupported

DIALECTS = (openai_chat.DIALECT, anthropic_messages.DIALECT, gemini_generate.DIALECT)
PERMISSIVE = {
    "openai_chat": Capabilities(audio=True, reasoning="effort"),
    "anthropic_messages": Capabilities(audio=True, reasoning="adaptive"),
    "gemini_generate": Capabilities(audio=True, reasoning="budget"),
}
"""A model that can do everything its wire can say."""

WORDS = {"approximated": "said otherwise", "dropped": "left out"}
ELSEWHERE = Request(model="m", messages=(user_message("Hello"),), max_tokens=100, dialect="another")
PNG, PDF, WAV, MP4 = "iVBORw0KGgo=", "JVBERi0=", "UklGRg==", "AAAA"
TOOLS = (Tool("look", parameters={"type": "object"}),)
ASKED = (user_message("Look"), Message("assistant", (ToolCall("call_1", "look", "{}"), ToolCall("call_2", "look", "{}"))))
ANSWER = ToolResult("call_1", (Text("seen"),))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


class Probe(NamedTuple):
    """A row of the table, and the requests that find out."""

    label: str
    requests: tuple[Request, ...]


def wish(**fields: object) -> Request:
    """A request of another wire that wants this."""
    return Request(**{**{name: getattr(ELSEWHERE, name) for name in ELSEWHERE.__struct_fields__}, **fields})


def shows(kind: MediaKind, mime: str, *, data: str | None = None, url: str | None = None) -> Request:
    """A request with a picture, a document, a sound or a film."""
    return wish(messages=(Message("user", (Media(kind, mime, data=data, url=url),)),))


def results(first: ToolResult) -> tuple[Message, ...]:
    """Two calls and their results."""
    return (*ASKED, Message("tool", (first,)), Message("tool", (ToolResult("call_2", (Text("seen"),)),)))


PROBES = (
    Probe("text, a leading system prompt", (wish(messages=(system_message("Be brief."), user_message("Hello"))),)),
    Probe(
        "a system message in the middle",
        (wish(messages=(user_message("a"), Message("assistant", (Text("b"),)), system_message("c"), user_message("d"))),),
    ),
    Probe(
        "tools, tool choice, several calls at once, their results",
        (wish(messages=results(ANSWER), tools=TOOLS, tool_choice=ToolChoice("auto")),),
    ),
    Probe("not more than one call at once", (wish(tools=TOOLS, parallel_tools=False),)),
    Probe(
        "images in a tool's result",
        (wish(messages=results(ToolResult("call_1", (Text("seen"), Media("image", "image/png", data=PNG)))), tools=TOOLS),),
    ),
    Probe(
        "images by data or address", (shows("image", "image/png", data=PNG), shows("image", "image/png", url="https://example.org/a.png"))
    ),
    Probe("PDF documents by data", (shows("document", "application/pdf", data=PDF),)),
    Probe("PDF documents by address", (shows("document", "application/pdf", url="https://example.org/a.pdf"),)),
    Probe("sound", (shows("audio", "audio/wav", data=WAV),)),
    Probe("film", (shows("video", "video/mp4", data=MP4),)),
    Probe("an answer in a JSON Schema", (wish(response_format=ResponseFormat("json_schema", schema=SCHEMA, name="answer")),)),
    Probe("an answer in any JSON", (wish(response_format=ResponseFormat("json_object")),)),
    Probe("how much to think, as effort", (wish(reasoning=Reasoning(effort="low")),)),
    Probe("how much to think, in tokens", (wish(reasoning=Reasoning(budget=4096), max_tokens=8192),)),
    Probe("several answers (`n`)", (wish(n=2),)),
    Probe("`temperature` up to 1, `top_p`, `stop`", (wish(temperature=0.5), wish(top_p=0.5), wish(stop=("END",)))),
    Probe("`temperature` above 1", (wish(temperature=1.5),)),
    Probe("`top_k`", (wish(top_k=4),)),
    Probe(
        "`seed`, penalties, log probabilities", (wish(seed=7), wish(presence_penalty=0.5), wish(frequency_penalty=0.5), wish(logprobs=True))
    ),
    Probe("`logit_bias`", (wish(logit_bias={"1": 2}),)),
    Probe("no `max_tokens`", (wish(max_tokens=None),)),
    Probe("the end user's id", (wish(user="u-1"),)),
    Probe("prompt-cache marks", (wish(messages=(Message("user", (Text("Hello", cache=Cache()),)),)),)),
    Probe(
        "thoughts handed back with their signature",
        (wish(messages=(user_message("a"), Message("assistant", (Thinking("t", "signed"), Text("b"))), user_message("c"))),),
    ),
    Probe("unknown fields of another wire", (wish(extra={"unheard_of": 1}),)),
)


def fate(dialect: ChatDialect, request: Request) -> str:
    """What becomes of a request's wish on a wire."""
    try:
        notes = dialect.render_request(request, PERMISSIVE[dialect.name]).notes
    except Unsupported:
        return "refused"
    return next((WORDS[note.action] for note in notes), "yes")


def cell(dialect: ChatDialect, probe: Probe) -> str:
    """The word for a row; the requests of a row share one fate."""
    fates = {fate(dialect, request) for request in probe.requests}
    if len(fates) != 1:
        raise SystemExit(f"{probe.label}: {dialect.name} does not treat all of it alike: {', '.join(sorted(fates))}")
    return fates.pop()


def rows() -> Iterator[str]:
    """The table."""
    yield "| | " + " | ".join(f"`{dialect.name}`" for dialect in DIALECTS) + " |"
    yield "|---" * (len(DIALECTS) + 1) + "|"
    for probe in PROBES:
        yield f"| {probe.label} | " + " | ".join(cell(dialect, probe) for dialect in DIALECTS) + " |"
