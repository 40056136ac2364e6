"""The simulated model: a deterministic answer from the request and a seed, whatever the wire.

With a question that one of the `players` knows it answers as a competent model would, and now and then wrongly; with another schema it
fills the schema (`schema_fill`), with a forced tool it calls the tool, else it writes a little prose. The same question gets the same
answer streamed or not, in a batch or at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from headgate.sim import tokens
from headgate.sim.dice import Dice
from headgate.sim.faults import AnswerName
from headgate.sim.players.cast import play
from headgate.sim.schema_fill import WORDS, Filler, pairs
from headgate.wire.json import Json, JsonObject, encode, encode_text

Finish: TypeAlias = Literal["stop", "length", "tool", "stop_sequence", "refusal", "empty"]

REFUSAL = "I'm sorry, but I can't help with that request."
AS_USUAL: Mapping[str, float] = MappingProxyType({})
"""Each player makes its own share of mistakes."""


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call; `schema` describes its arguments."""

    name: str
    schema: JsonObject


class Ask(msgspec.Struct, frozen=True):
    """A request as the model sees it.

    `texts` are all prompt texts in order, `last_user` the last message a person wrote, `results` the tool results after it. `forced`
    is None for a free choice, ``""`` for "some tool", else the tool's name. `no_tools` forbids calls. `images` counts pictures.
    """

    model: str
    texts: tuple[str, ...]
    last_user: str = ""
    results: tuple[str, ...] = ()
    schema: JsonObject | None = None
    json_object: bool = False
    tools: tuple[Tool, ...] = ()
    forced: str | None = None
    no_tools: bool = False
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    thinks: bool = False
    images: int = 0


class Call(msgspec.Struct, frozen=True):
    """One tool call of an answer."""

    name: str
    arguments: JsonObject


class Reply(msgspec.Struct, frozen=True):
    """What the model says. `output` counts text and calls, `reasoning` the thinking; both in tokens and never above the limit together."""

    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"
    stop_sequence: str | None = None
    output: int = 0
    reasoning: int = 0


def fingerprint(ask: Ask) -> str:
    """A short hash of everything that shapes the answer."""
    return blake2b(encode(ask), digest_size=12).hexdigest()


def prompt_tokens(ask: Ask) -> int:
    """Input tokens: every text, a few for each message, the schemas, the pictures."""
    schemas = [tool.schema for tool in ask.tools] + ([] if ask.schema is None else [ask.schema])
    return (
        sum(tokens.count(text) + tokens.MESSAGE_OVERHEAD for text in ask.texts)
        + sum(-(-len(encode(schema)) // tokens.BYTES_PER_TOKEN) for schema in schemas)
        + ask.images * tokens.IMAGE_TOKENS
    )


def respond(ask: Ask, seed: int, index: int = 0, twist: AnswerName | None = None, mistakes: Mapping[str, float] = AS_USUAL) -> Reply:
    """The answer to `ask`; `index` tells the candidates of one request apart, `twist` spoils the answer.

    `mistakes` is the share of wrong answers by player, see `players.cast`.
    """
    mark = (seed, fingerprint(ask), index)
    if twist == "empty":
        return Reply(finish="empty")
    if twist == "refusal":
        return Reply(text=REFUSAL, finish="refusal", output=tokens.count(REFUSAL))
    thinking = _thoughts(ask, mark) if ask.thinks else ""
    plain = _content(ask, mark, mistakes)
    if not plain.calls:
        plain = _twisted(plain, twist)
    return _within_limit(_stopped(plain, ask.stops), thinking, ask.max_tokens)


def _content(ask: Ask, mark: tuple[object, ...], mistakes: Mapping[str, float]) -> Reply:
    tool = _tool_to_call(ask)
    schema = ask.schema if tool is None else tool.schema
    text = "\n".join(ask.texts)
    answer = None if tool is None and ask.tools else play(schema, text, mistakes, *mark)
    if tool is not None:
        arguments = Filler(tool.schema, text, tool.name, *mark).value() if answer is None else answer
        return Reply(calls=(Call(tool.name, arguments if isinstance(arguments, dict) else {}),), finish="tool")
    if answer is not None:
        return Reply(text=encode_text(answer))
    if ask.schema is not None:
        return Reply(text=encode_text(Filler(ask.schema, text, *mark).value()))
    if ask.json_object:
        return Reply(text=encode_text(pairs(text) or {"answer": Dice(*mark).pick(WORDS)}))
    return Reply(text=_prose(ask, mark))


def _tool_to_call(ask: Ask) -> Tool | None:
    if not ask.tools or ask.no_tools:
        return None
    if ask.forced is not None:
        return next((tool for tool in ask.tools if tool.name == ask.forced), ask.tools[0])
    first = ask.tools[0]
    return first if not ask.results and first.name in ask.last_user else None


def _prose(ask: Ask, mark: tuple[object, ...]) -> str:
    dice = Dice("prose", *mark)
    if ask.results:
        return f"The tool returned: {' '.join(ask.results)}"
    heard = sorted(set(re.findall(r"[^\W\d_]{4,}", ask.last_user[:4000])))
    echoed = [dice.pick(heard) for _ in range(3)] if heard else [dice.pick(WORDS) for _ in range(3)]
    made = [dice.pick(WORDS) for _ in range(6)]
    return (
        f"You asked about {echoed[0]}, {echoed[1]} and {echoed[2]}. "
        f"The {made[0]} {made[1]} and the {made[2]} {made[3]} answer it: {made[4]} first, then {made[5]}."
    )


def _thoughts(ask: Ask, mark: tuple[object, ...]) -> str:
    dice = Dice("thinking", *mark)
    steps = " ".join(dice.pick(WORDS) for _ in range(6 + dice.below(12)))
    return f"The question has to be weighed step by step: {steps}."


def _twisted(reply: Reply, twist: AnswerName | None) -> Reply:
    if twist == "fenced":
        return msgspec.structs.replace(reply, text=f"```json\n{reply.text}\n```")
    if twist == "invalid":
        return msgspec.structs.replace(reply, text=encode_text({"unexpected": [reply.text[:40]]}))
    if twist == "separators":
        return msgspec.structs.replace(reply, text=reply.text.replace(" ", "\u2028", 1).replace(" ", "\x85", 1))
    if twist == "length":
        return msgspec.structs.replace(reply, text=reply.text[: max(1, len(reply.text) // 2)], finish="length")
    return reply


def _stopped(reply: Reply, stops: tuple[str, ...]) -> Reply:
    """Cut the text at the first stop sequence."""
    found = [(at, stop) for stop in stops if stop and (at := reply.text.find(stop)) >= 0]
    if not found or reply.calls:
        return reply
    at, stop = min(found)
    return msgspec.structs.replace(reply, text=reply.text[:at], finish="stop_sequence", stop_sequence=stop)


def _within_limit(reply: Reply, thinking: str, limit: int | None) -> Reply:
    """Count the tokens and cut what passes the limit; thinking comes first. A call that does not fit is not made."""
    reasoning = tokens.count(thinking)
    if limit is not None and reasoning >= limit:
        return Reply(thinking=tokens.cut(thinking, limit), finish="length", reasoning=limit)
    room = None if limit is None else limit - reasoning
    output = tokens.count(reply.text) + sum(call_tokens(call) for call in reply.calls)
    if room is None or output <= room:
        return msgspec.structs.replace(reply, thinking=thinking, output=output, reasoning=reasoning)
    text = tokens.cut(reply.text, room)
    return Reply(text=text, thinking=thinking, finish="length", output=tokens.count(text), reasoning=reasoning)


def call_tokens(call: Call) -> int:
    """Output tokens of one tool call."""
    return tokens.count(call.name) + tokens.count(encode_text(call.arguments)) + tokens.MESSAGE_OVERHEAD


def text_of(value: Json) -> str:
    """The text of a message's content: a string, or the text parts of a list, joined."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "\n".join(str(part["text"]) for part in value if isinstance(part, dict) and isinstance(part.get("text"), str))
