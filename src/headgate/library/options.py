"""From keyword arguments to a `Request`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeAlias, TypedDict

import msgspec

from headgate.dialects import openai_chat
from headgate.domain.request import HostedTool, Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message, user_message
from headgate.errors import UsageError, WireError
from headgate.wire.json import Json, JsonObject, encode

Turn: TypeAlias = Message | Mapping[str, Json]
Messages: TypeAlias = str | Sequence[Turn]
ToolLike: TypeAlias = Tool | HostedTool | Mapping[str, Json]


class Options(TypedDict, total=False):
    """What may be said about a call beside model and messages.

    `schema` is a JSON Schema the answer must follow; `tool_choice` is "auto", "none", "required" or the name of a tool; `reasoning` an
    effort ("low", "medium", "high" …) or a `Reasoning`; `timeout` seconds for the whole call; with `strict`, what would be lost or
    approximated on the way to the provider raises `Unsupported` instead.
    """

    system: str
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    stop: str | Sequence[str]
    tools: Sequence[ToolLike]
    tool_choice: str | ToolChoice
    parallel_tools: bool
    schema: JsonObject
    response_format: str | ResponseFormat
    reasoning: str | Reasoning
    user: str
    metadata: JsonObject
    timeout: float
    strict: bool


PLAIN = ("max_tokens", "temperature", "top_p", "top_k", "seed", "parallel_tools", "user", "metadata")


def make_request(model: str | Request, messages: Messages | None, options: Options) -> Request:
    """The request that the arguments of a call describe. Raises `UsageError` for what does not fit, `TypeError` for unknown names."""
    _check_names(options)
    leading = (system_message(options["system"]),) if "system" in options else ()
    if isinstance(model, Request):
        if messages is not None:
            raise UsageError("a Request has its messages already: give no others beside it")
        return msgspec.structs.replace(model, messages=(*leading, *model.messages), **_fields(options))
    if messages is None:
        raise UsageError("messages are missing", hint='client.complete("openai/gpt-4o-mini", "Hello")')
    turns = (user_message(messages),) if isinstance(messages, str) else _turns(messages)
    return Request(model=model, messages=(*leading, *turns), **_fields(options))


def _check_names(options: Options) -> None:
    for name in options:
        if name not in Options.__annotations__:
            close = get_close_matches(name, Options.__annotations__, n=1)
            raise TypeError(f"unexpected keyword argument {name!r}" + (f" (did you mean {close[0]!r}?)" if close else ""))


def _fields(options: Options) -> dict[str, Json]:
    found: dict[str, Json] = {name: value for name, value in options.items() if name in PLAIN and value is not None}
    for name, read in _READERS.items():
        value = options.get(name)
        if value is not None:
            field, made = read(value)
            found[field] = made
    return found


def _stop(value: Json) -> tuple[str, Json]:
    return "stop", (value,) if isinstance(value, str) else tuple(value)


def _choice(value: Json) -> tuple[str, Json]:
    if isinstance(value, ToolChoice):
        return "tool_choice", value
    return "tool_choice", ToolChoice(value) if value in ("auto", "none", "required") else ToolChoice("tool", (value,))


def _schema(value: Json) -> tuple[str, Json]:
    title = value.get("title")
    return "response_format", ResponseFormat("json_schema", schema=value, name=title if isinstance(title, str) and title else "answer")


def _format(value: Json) -> tuple[str, Json]:
    return "response_format", value if isinstance(value, ResponseFormat) else ResponseFormat(value)


def _reasoning(value: Json) -> tuple[str, Json]:
    return "reasoning", value if isinstance(value, Reasoning) else Reasoning(effort=value)


def _tools(value: Json) -> tuple[str, Json]:
    parsed = iter(_parsed([], [_wrapped(tool) for tool in value if isinstance(tool, Mapping)]).tools)
    return "tools", tuple(next(parsed) if isinstance(tool, Mapping) else tool for tool in value)


_READERS: dict[str, Callable[[Json], tuple[str, Json]]] = {
    "stop": _stop,
    "tools": _tools,
    "tool_choice": _choice,
    "response_format": _format,
    "schema": _schema,
    "reasoning": _reasoning,
}


def _turns(messages: Sequence[Turn]) -> tuple[Message, ...]:
    """Messages as values; mappings are read as OpenAI writes them."""
    parsed = iter(_parsed([dict(turn) for turn in messages if isinstance(turn, Mapping)], []).messages)
    return tuple(next(parsed) if isinstance(turn, Mapping) else turn for turn in messages)


def _wrapped(tool: Mapping[str, Json]) -> JsonObject:
    """A tool as OpenAI writes it; a bare ``{name, description, parameters}`` is put into its envelope."""
    return dict(tool) if "type" in tool and "parameters" not in tool else {"type": "function", "function": dict(tool)}


def _parsed(messages: list[JsonObject], tools: list[JsonObject]) -> Request:
    try:
        return openai_chat.DIALECT.parse_request(encode({"model": "-", "messages": messages, "tools": tools}), "")
    except WireError as error:
        raise UsageError(error.message, hint='messages=[{"role": "user", "content": "Hello"}]') from error
