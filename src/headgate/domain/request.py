"""A chat request as one frozen value, a superset of what the dialects can say.

`extra` holds wire keys that this model does not name (and known keys whose value it cannot hold, such as an explicit null); `form` holds
spelling marks, so that the dialect a request came from writes it back as an equal JSON value ("stop:string", "max_completion_tokens").
Both mean something only to `dialect`. A request made by hand has an empty `dialect`, and canonical spelling.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Literal, TypeAlias

import msgspec

from headgate.domain.content import Block, Cache, Text
from headgate.errors import Unsupported, WireError
from headgate.wire.json import Json, JsonObject, loaded

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True, gc=False):
    """One turn. System prompts are messages too, leading ones wherever a wire keeps them apart.

    `form` is empty for canonical spelling: a single plain `Text` is a JSON string where the wire allows that, several blocks are a list.
    """

    role: Role
    content: tuple[Block, ...] = ()
    name: str | None = None
    extra: JsonObject | None = None
    form: str = ""


class Tool(msgspec.Struct, frozen=True, gc=False):
    """A function the model may call. `parameters` is a JSON Schema (None: not given), decoded or as `wire.json.Raw`.

    A raw schema is an object with something in it, on one line, that nobody had to read; `schema` reads either kind. Tools are equal
    when their schemas are.
    """

    name: str
    description: str | None = None
    parameters: Json = None
    strict: bool | None = None
    cache: Cache | None = None
    extra: JsonObject | None = None
    form: str = ""

    @property
    def schema(self) -> Json:
        """`parameters`, decoded. Raises `Unsupported` for a raw schema that cannot be (a number no double can hold)."""
        try:
            return loaded(self.parameters)
        except WireError as error:
            raise Unsupported(f"the schema of tool {self.name!r} cannot be read: {error}", param="tools") from error

    def __hash__(self) -> int:
        return hash((self.name, self.description))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tool):
            return NotImplemented
        return _held(self) == _held(other) and self.schema == other.schema


_held: Callable[[Tool], tuple[object, ...]] = attrgetter("name", "description", "strict", "cache", "extra", "form")


class HostedTool(msgspec.Struct, frozen=True):
    """A tool the provider runs itself (web search, code execution …), kept as it came on the wire of `dialect`."""

    kind: str
    raw: Json
    dialect: str = ""


class ToolChoice(msgspec.Struct, frozen=True, gc=False):
    """Which tools may or must be called: `names` matters for "tool" (one name) and "allowed" (several)."""

    mode: Literal["auto", "none", "required", "tool", "allowed"]
    names: tuple[str, ...] = ()
    required: bool = False
    """For "allowed": one of the names must be called."""
    extra: JsonObject | None = None


class ResponseFormat(msgspec.Struct, frozen=True):
    """The form the answer must have."""

    kind: Literal["text", "json_object", "json_schema"]
    schema: Json = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    extra: JsonObject | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """How much the model may think.

    `effort` is a word (none, minimal, low, medium, high, xhigh, max), `budget` counts tokens (0: none, -1: dynamic),
    `mode` is the wire's own switch where there is one ("enabled", "disabled", "adaptive").
    `visible` asks for the thoughts in the answer.
    """

    effort: str | None = None
    budget: int | None = None
    mode: str | None = None
    visible: bool | None = None
    extra: JsonObject | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A chat request. None always means "not said"; zero is a value (translation case 33)."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool | HostedTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: JsonObject | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    metadata: JsonObject | None = None
    service_tier: str | None = None
    stream: bool | None = None
    stream_usage: bool | None = None
    """The caller asked for usage in the stream (OpenAI's `stream_options.include_usage`)."""
    dialect: str = ""
    extra: JsonObject | None = None
    form: tuple[str, ...] = ()
    bound: tuple[str, ...] = ()
    """Paths of what stands for content kept by the provider (an earlier answer, a stored prompt): no other wire can say it."""


def require_unbound(request: Request, dialect: str) -> None:
    """Raise `Unsupported` when `request` leans on what only its own wire can serve and is to be written for `dialect`."""
    if request.bound and request.dialect != dialect:
        raise Unsupported(
            f"{request.bound[0]} stands for content kept by the provider it was made with, and cannot be sent elsewhere",
            param=request.bound[0],
            hint="send the whole conversation",
        )


def user_message(text: str) -> Message:
    """A user turn of plain text."""
    return Message("user", (Text(text),))


def system_message(text: str) -> Message:
    """A system prompt of plain text."""
    return Message("system", (Text(text),))
