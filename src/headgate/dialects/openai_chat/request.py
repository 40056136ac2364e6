"""Reading a request body.

Spelling marks in `Request.form`: "max_tokens" or "max_completion_tokens" (which of the two was used), "stop:string", "stop:empty",
"tools:empty", "functions", "function_call", "reasoning" (an object instead of `reasoning_effort`), "tool_choice:any",
"stream_options:empty", "model:path" (the path names the model).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from headgate.dialects.openai_chat.formats import parse_reasoning, parse_response_format
from headgate.dialects.openai_chat.messages import parse_messages
from headgate.dialects.openai_chat.tools import parse_function_call_choice, parse_functions, parse_tool_choice, parse_tools
from headgate.dialects.openai_chat.usual import parse_usual
from headgate.dialects.openai_chat.words import MODEL_IN_PATH, NAME, malformed
from headgate.domain.request import Reasoning, Request
from headgate.wire.json import Json, JsonObject, decode, type_name

_DEPLOYMENT = re.compile(r"/deployments/([^/?#]+)/")
_NUMBER = frozenset({int, float})
_INTEGER = frozenset({int})
_BOOLEAN = frozenset({bool})
_TEXT = frozenset({str})
_OBJECT = frozenset({dict})

_SCALARS: dict[str, tuple[str, frozenset[type]]] = {
    "temperature": ("temperature", _NUMBER),
    "top_p": ("top_p", _NUMBER),
    "top_k": ("top_k", _INTEGER),
    "seed": ("seed", _INTEGER),
    "n": ("n", _INTEGER),
    "presence_penalty": ("presence_penalty", _NUMBER),
    "frequency_penalty": ("frequency_penalty", _NUMBER),
    "logit_bias": ("logit_bias", _OBJECT),
    "top_logprobs": ("top_logprobs", _INTEGER),
    "parallel_tool_calls": ("parallel_tools", _BOOLEAN),
    "user": ("user", _TEXT),
    "metadata": ("metadata", _OBJECT),
    "service_tier": ("service_tier", _TEXT),
    "stream": ("stream", _BOOLEAN),
}
"""Wire key -> domain field and the JSON types it may have. Null is kept in `extra`; any other type is malformed."""

_NAMES = {_NUMBER: "a number", _INTEGER: "an integer", _BOOLEAN: "a boolean", _TEXT: "a string", _OBJECT: "an object"}


class _Draft:
    """The request while it is being read."""

    __slots__ = ("body", "extra", "fields", "form")

    def __init__(self, body: JsonObject) -> None:
        self.body = body
        self.extra: JsonObject = {}
        self.form: list[str] = []
        self.fields: dict[str, Json] = {"dialect": NAME}


def parse_request(body: bytes, path: str) -> Request:
    """Read a chat completions request. Raises `WireError` with `param` for malformed input.

    `path` says something only where it names a deployment (Azure OpenAI) and the body no model.
    """
    return parse_usual(body) or parse_any(body, path)


def parse_any(body: bytes, path: str = "") -> Request:
    """Read any request key by key. Raises `WireError` with `param` for malformed input."""
    raw = decode(body, what="the request body")
    if type(raw) is not dict:
        raise malformed("body", f"an object, not {type_name(raw)}")
    draft = _Draft(raw)
    fields, extra = draft.fields, draft.extra
    for key, value in raw.items():
        reader = _READERS.get(key)
        if value is None:
            extra[key] = value
        elif reader is not None:
            reader(draft, value)
        elif (scalar := _SCALARS.get(key)) is None:
            extra[key] = value
        elif type(value) in scalar[1]:
            fields[scalar[0]] = value
        else:
            raise malformed(key, f"{_NAMES[scalar[1]]}, not {type_name(value)}")
    deployment = _DEPLOYMENT.search(path) if "model" not in fields else None
    if deployment is not None:
        fields["model"] = unquote(deployment[1])
        draft.form.append(MODEL_IN_PATH)
    if "model" not in fields or "messages" not in fields:
        raise malformed("messages" if "model" in fields else "model", "given")
    if extra:
        fields["extra"] = extra
    if draft.form:
        fields["form"] = tuple(draft.form)
    return Request(**fields)


def _model(draft: _Draft, value: Json) -> None:
    if type(value) is not str:
        raise malformed("model", f"a string, not {type_name(value)}")
    draft.fields["model"] = value


def _array(value: Json, param: str) -> list[Json]:
    if type(value) is not list:
        raise malformed(param, f"an array, not {type_name(value)}")
    return value


def _messages(draft: _Draft, value: Json) -> None:
    draft.fields["messages"] = parse_messages(_array(value, "messages"))


def _tools(draft: _Draft, value: Json) -> None:
    draft.fields["tools"] = parse_tools(_array(value, "tools"))
    if not value:
        draft.form.append("tools:empty")


def _functions(draft: _Draft, value: Json) -> None:
    if "tools" in draft.body or not value:
        draft.extra["functions"] = value
        return
    draft.fields["tools"] = parse_functions(_array(value, "functions"))
    draft.form.append("functions")


def _tool_choice(draft: _Draft, value: Json) -> None:
    choice, mark = parse_tool_choice(value)
    _keep(draft, "tool_choice", choice, "tool_choice", value)
    if mark:
        draft.form.append(mark)


def _function_call(draft: _Draft, value: Json) -> None:
    choice = None if "tool_choice" in draft.body else parse_function_call_choice(value)
    _keep(draft, "tool_choice", choice, "function_call", value)
    if choice is not None:
        draft.form.append("function_call")


def _keep(draft: _Draft, field: str, found: object, key: str, value: Json) -> None:
    """Put what was understood into its field, else the raw value into `extra`."""
    if found is None:
        draft.extra[key] = value
    else:
        draft.fields[field] = found


def _response_format(draft: _Draft, value: Json) -> None:
    _keep(draft, "response_format", parse_response_format(value), "response_format", value)


def _integer(value: Json, param: str) -> int:
    if type(value) is not int:
        raise malformed(param, f"an integer, not {type_name(value)}")
    return value


def _max_tokens(draft: _Draft, value: Json) -> None:
    if type(draft.body.get("max_completion_tokens")) is int:
        draft.extra["max_tokens"] = value
        return
    draft.fields["max_tokens"] = _integer(value, "max_tokens")
    draft.form.append("max_tokens")


def _max_completion_tokens(draft: _Draft, value: Json) -> None:
    draft.fields["max_tokens"] = _integer(value, "max_completion_tokens")
    draft.form.append("max_completion_tokens")


def _stop(draft: _Draft, value: Json) -> None:
    if type(value) is str:
        draft.fields["stop"] = (value,)
        draft.form.append("stop:string")
        return
    words = _array(value, "stop")
    if not all(type(word) is str for word in words):
        raise malformed("stop", "a string or an array of strings")
    draft.fields["stop"] = tuple(words)
    if not words:
        draft.form.append("stop:empty")


def _logprobs(draft: _Draft, value: Json) -> None:
    """A boolean at OpenAI, a count at Together: the count is kept as it came."""
    _keep(draft, "logprobs", value if type(value) is bool else None, "logprobs", value)


def _effort(draft: _Draft, value: Json) -> None:
    if type(value) is not str:
        raise malformed("reasoning_effort", f"a string, not {type_name(value)}")
    draft.fields["reasoning"] = Reasoning(effort=value)


def _reasoning(draft: _Draft, value: Json) -> None:
    found = None if draft.body.get("reasoning_effort") is not None else parse_reasoning(value)
    _keep(draft, "reasoning", found, "reasoning", value)
    if found is not None:
        draft.form.append("reasoning")


def _stream_options(draft: _Draft, value: Json) -> None:
    if type(value) is not dict:
        raise malformed("stream_options", f"an object, not {type_name(value)}")
    wanted = value.get("include_usage")
    if type(wanted) is bool:
        draft.fields["stream_usage"] = wanted
    rest = {key: item for key, item in value.items() if key != "include_usage" or type(wanted) is not bool}
    if rest:
        draft.extra["stream_options"] = rest
    elif not value:
        draft.form.append("stream_options:empty")


_READERS: dict[str, Callable[[_Draft, Json], None]] = {
    "model": _model,
    "messages": _messages,
    "tools": _tools,
    "functions": _functions,
    "tool_choice": _tool_choice,
    "function_call": _function_call,
    "response_format": _response_format,
    "max_tokens": _max_tokens,
    "max_completion_tokens": _max_completion_tokens,
    "stop": _stop,
    "logprobs": _logprobs,
    "reasoning_effort": _effort,
    "reasoning": _reasoning,
    "stream_options": _stream_options,
}
