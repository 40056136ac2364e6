"""What becomes of each feature of a request on its way from a surface of the gateway to a provider (translation, principle).

A feature is a small request. It is written in the surface's wire, read as the gateway reads it, and rendered for the provider's default
model. `sent`: it arrives as asked. `approximated`, `dropped`: a note says so, and strict requests fail. `refused`: the caller is told.
`—`: the surface has no words for it. `same wire`: bytes pass through unread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

import msgspec

from headgate.catalog.cards import Catalog
from headgate.catalog.fidelity import Fate
from headgate.dialects.base import ChatDialect, Note, RenderedRequest
from headgate.domain.capabilities import Capabilities, ReasoningControl
from headgate.domain.content import Block, Cache, Media, Text, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message, user_message
from headgate.errors import HeadgateError
from headgate.providers import Provider
from headgate.testing import samples
from headgate.testing.conformance.case import subject_of
from headgate.wire.json import encode

ABSENT, SAME, SENT, REFUSED = "—", "same wire", "sent", "refused"


class Feature(msgspec.Struct, frozen=True):
    """A feature by name, and the request that shows it."""

    name: str
    request: Request


_ABLE = tuple(Capabilities(audio=True, system_anywhere=True, reasoning=control) for control in get_args(ReasoningControl))
"""Models that can do everything, for each way of asking for thoughts."""


def _with(base: Request = samples.PLAIN, **changes: object) -> Request:
    return msgspec.structs.replace(base, **changes)


def _said(*blocks: Block) -> Request:
    return _with(messages=(Message("user", blocks),))


_CACHED = _with(messages=(Message("system", (Text("A long text.", cache=Cache()),)), user_message("So?")))
_LATE_SYSTEM = _with(
    messages=(user_message("Hello."), Message("assistant", (Text("Hello."),)), system_message("Be brief."), user_message("So?"))
)
_PREFILL = _with(messages=(user_message("Count."), Message("assistant", (Text("One, two,"),))))
_THOUGHTS = _with(
    samples.TOOLS,
    messages=(
        user_message("The weather?"),
        Message("assistant", (Thinking("I look it up.", signature="c2lnbmVk"), ToolCall("call_1", "get_weather", '{"city":"Oslo"}'))),
        Message("tool", (ToolResult("call_1", (Text("rain"),), "get_weather"),)),
    ),
)
_PICTURE_RESULT = _with(
    samples.TOOL_LOOP,
    messages=(
        user_message("The weather?"),
        Message("assistant", (samples.CALL,)),
        Message("tool", (ToolResult("call_1", (Media("image", mime="image/png", data=samples.PIXEL),), "get_weather"),)),
    ),
)
_STRICT_TOOL = _with(samples.TOOLS, tools=(Tool("get_weather", "The weather.", {**samples.SCHEMA}, strict=True),))

FEATURES: tuple[Feature, ...] = (
    Feature("text", samples.PLAIN),
    Feature("system prompt", samples.SYSTEM),
    Feature("system prompt in the middle", _LATE_SYSTEM),
    Feature("prefilled answer", _PREFILL),
    Feature("streaming", _with(stream=True, stream_usage=True)),
    Feature("tools", samples.TOOLS),
    Feature("strict tools", _STRICT_TOOL),
    Feature("one tool forced", samples.FORCED),
    Feature("some tool required", _with(samples.TOOLS, tool_choice=ToolChoice("required"))),
    Feature("no tool allowed", _with(samples.TOOLS, tool_choice=ToolChoice("none"))),
    Feature("one call at a time", _with(samples.TOOLS, parallel_tools=False)),
    Feature("tool results", samples.TOOL_LOOP),
    Feature("pictures in tool results", _PICTURE_RESULT),
    Feature("pictures", samples.PICTURE),
    Feature("pictures by URL", _said(Text("What?"), Media("image", url="https://example.com/a.png"))),
    Feature("documents", _said(Text("What?"), Media("document", mime="application/pdf", data="JVBERi0="))),
    Feature("audio", _said(Text("What?"), Media("audio", mime="audio/wav", data="UklGRg=="))),
    Feature("answers in a schema", samples.STRUCTURED),
    Feature("answers in JSON", _with(response_format=ResponseFormat("json_object"))),
    Feature("reasoning effort", samples.THINKING),
    Feature("reasoning budget", _with(max_tokens=4096, reasoning=Reasoning(budget=2048))),
    Feature("thoughts handed back", _THOUGHTS),
    Feature("cache breakpoints", _CACHED),
    Feature("temperature", _with(temperature=0.0)),
    Feature("top_p", _with(top_p=0.5)),
    Feature("top_k", _with(top_k=40)),
    Feature("stop sequences", _with(stop=("END",))),
    Feature("seed", _with(seed=7)),
    Feature("penalties", _with(presence_penalty=0.5, frequency_penalty=0.5)),
    Feature("several answers", _with(n=2)),
    Feature("log probabilities", _with(logprobs=True, top_logprobs=2)),
    Feature("user", _with(user="someone")),
    Feature("metadata", _with(metadata={"job": "a"})),
    Feature("service tier", _with(service_tier="flex")),
)
"""Every feature of the matrix."""


def fates(surfaces: Iterable[ChatDialect], providers: Iterable[Provider], catalog: Catalog) -> Iterator[Fate]:
    """What becomes of every feature between every surface and every provider."""
    surfaces = tuple(surfaces)
    for provider in providers:
        able = subject_of(provider, catalog).capabilities
        for surface in surfaces:
            yield from (_fate(feature, surface, provider, able) for feature in FEATURES)


def _fate(feature: Feature, surface: ChatDialect, provider: Provider, able: Capabilities) -> Fate:
    where = (surface.name, provider.name, feature.name)
    heard = _heard(feature, surface)
    if heard is None:
        return Fate(*where, ABSENT)
    if provider.speaks(surface.name) is not None:
        return Fate(*where, SAME)
    try:
        rendered = provider.chat.render_request(msgspec.structs.replace(heard, model=provider.default_model or "a-model"), able)
    except HeadgateError as error:
        return Fate(*where, REFUSED, error.message)
    notes = _beyond_the_usual(rendered)
    return Fate(*where, notes[0].action, f"{notes[0].field}: {notes[0].reason}") if notes else Fate(*where, SENT)


def _heard(feature: Feature, surface: ChatDialect) -> Request | None:
    """The feature as the gateway reads it on a surface; None when the surface has no words for it, whatever the model."""
    for able in _ABLE:
        try:
            written = surface.render_request(feature.request, able)
            if not _beyond_the_usual(written):
                return surface.parse_request(encode(written.payload), written.path)
        except HeadgateError:
            continue
    return None


def _beyond_the_usual(rendered: RenderedRequest) -> list[Note]:
    """Notes, but for the one about an output limit that was not asked for."""
    return [note for note in rendered.notes if note.field != "max_tokens"]
