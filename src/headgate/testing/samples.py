"""Small hand-made requests, answers and streams, in the words of the domain, for tests of any dialect or provider."""

from __future__ import annotations

import msgspec

from headgate.domain.content import Block, Media, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import BlockStart, BlockStop, Delta, Finished, Signature, Start, StreamEvent, UsageSeen
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message, user_message
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.wire.json import JsonObject

MODEL = "a-model"
CREATED = 1_780_000_000
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # a PNG of one pixel
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
WEATHER = Tool(
    "get_weather",
    "The weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = Tool("get_time", "The time of day.", {"type": "object", "properties": {"zone": {"type": "string"}}})
CALL = ToolCall("call_1", "get_weather", '{"city":"Oslo"}')
SECOND_CALL = ToolCall("call_2", "get_time", '{"zone":"UTC"}')
RESULTS = (ToolResult("call_1", (Text("rain, 7 °C"),), "get_weather"), ToolResult("call_2", (Text('{"hour":12}'),), "get_time"))

PLAIN = Request(model=MODEL, messages=(user_message("Name a colour."),), max_tokens=200)
SYSTEM = msgspec.structs.replace(PLAIN, messages=(system_message("Answer briefly."), user_message("Was heißt „naïve“? 🙂")))
TALK = msgspec.structs.replace(
    PLAIN, messages=(user_message("Name a colour."), Message("assistant", (Text("Blue."),)), user_message("Another one."))
)
SAMPLED = msgspec.structs.replace(PLAIN, temperature=0.0, top_p=0.5, stop=("END", "STOP"))
PICTURE = msgspec.structs.replace(PLAIN, messages=(Message("user", (Text("What is this?"), Media("image", mime="image/png", data=PIXEL))),))
TOOLS = msgspec.structs.replace(PLAIN, messages=(user_message("The weather in Oslo?"),), tools=(WEATHER, CLOCK))
FORCED = msgspec.structs.replace(TOOLS, tool_choice=ToolChoice("tool", ("get_weather",)))
TOOL_LOOP = msgspec.structs.replace(
    TOOLS,
    messages=(
        user_message("Weather and time in Oslo?"),
        Message("assistant", (Text("I will look."), CALL, SECOND_CALL)),
        Message("tool", RESULTS[:1]),
        Message("tool", RESULTS[1:]),
        user_message("So?"),
    ),
)
STRUCTURED = msgspec.structs.replace(
    PLAIN,
    messages=(user_message("Fill the form.\ncity: Oslo\ndegrees: 7"),),
    response_format=ResponseFormat("json_schema", SCHEMA, "weather"),
)
THINKING = msgspec.structs.replace(PLAIN, max_tokens=4096, reasoning=Reasoning(effort="low"))

REQUESTS: dict[str, Request] = {
    "plain": PLAIN,
    "system": SYSTEM,
    "talk": TALK,
    "sampled": SAMPLED,
    "picture": PICTURE,
    "tools": TOOLS,
    "forced": FORCED,
    "tool_loop": TOOL_LOOP,
    "structured": STRUCTURED,
    "thinking": THINKING,
}
"""Requests every chat dialect can say, by what they show."""

USAGE = Usage(input_uncached=10, cache_read=4, output_text=7, output_reasoning=3)


def _answer(finish: Finish, *content: Text | Thinking | ToolCall) -> Response:
    return Response(id="answer-1", model=MODEL, created=CREATED, choices=(Choice(0, content, finish),), usage=USAGE)


ANSWERS: dict[str, Response] = {
    "text": _answer(Finish.STOP, Text("Blue – or „naïve“ 🙂.")),
    "cut": _answer(Finish.LENGTH, Text("Blu")),
    "empty": _answer(Finish.STOP),
    "filtered": _answer(Finish.CONTENT_FILTER),
    "calls": _answer(Finish.TOOL_CALLS, Text("I will look."), CALL, SECOND_CALL),
    "call_without_arguments": _answer(Finish.TOOL_CALLS, ToolCall("call_1", "get_time", "{}")),
    "thinking": _answer(Finish.STOP, Thinking("Let me see.", signature="c2lnbmVk"), Text("Blue.")),
}
"""Answers every chat dialect can say, by what they show."""

EVENTS: tuple[StreamEvent, ...] = (
    Start("answer-1", MODEL, CREATED),
    BlockStart(0, Thinking()),
    Delta(0, "Let me "),
    Delta(0, "see."),
    Signature(0, "c2lnbmVk"),
    BlockStop(0),
    BlockStart(1, Text("")),
    Delta(1, "„naïve“ "),
    Delta(1, "🙂."),
    BlockStop(1),
    BlockStart(2, ToolCall("call_1", "get_weather")),
    Delta(2, '{"city":'),
    Delta(2, '"Oslo"}'),
    BlockStop(2),
    BlockStart(3, ToolCall("call_2", "get_time")),
    BlockStop(3),
    UsageSeen(USAGE),
    Finished(Finish.TOOL_CALLS),
)
"""A stream that thinks, speaks and calls two tools, the second without arguments."""


def events_of(response: Response) -> list[StreamEvent]:
    """A whole answer as the events of a stream: strings grow in two pieces, usage comes last but one."""
    choice = response.choices[0]
    events: list[StreamEvent] = [Start(response.id, response.model, response.created)]
    for place, block in enumerate(choice.content):
        events += _grown(place, block)
    if response.usage is not None:
        events.append(UsageSeen(response.usage))
    return [*events, Finished(choice.finish)]


def _grown(place: int, block: Block) -> list[StreamEvent]:
    if isinstance(block, ToolCall):
        whole, head = block.arguments, msgspec.structs.replace(block, arguments="")
        return [BlockStart(place, head), *_deltas(place, whole), BlockStop(place)]
    if isinstance(block, Text | Thinking):
        signed: list[StreamEvent] = [] if block.signature is None else [Signature(place, block.signature)]
        bare = msgspec.structs.replace(block, text="", signature=None)
        return [BlockStart(place, bare), *_deltas(place, block.text), *signed, BlockStop(place)]
    if isinstance(block, Refusal):
        return [BlockStart(place, Refusal("")), *_deltas(place, block.text), BlockStop(place)]
    return [BlockStart(place, block), BlockStop(place)]


def _deltas(place: int, text: str) -> list[StreamEvent]:
    half = len(text) // 2
    return [Delta(place, part) for part in (text[:half], text[half:]) if part]
