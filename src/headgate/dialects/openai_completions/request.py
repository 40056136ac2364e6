"""Reading a request body.

Spelling marks: "prompt:list", "prompt:absent", "stop:string", "stop:empty", "logprobs:boolean", "stream_options:empty". Prompts of
tokens, which nobody but the model can read, stay in `extra`.
"""

from __future__ import annotations

from collections.abc import Callable

from headgate.dialects.openai_chat.words import malformed
from headgate.dialects.openai_completions.words import NAME
from headgate.domain.request import Request, user_message
from headgate.wire.json import Json, JsonObject, decode, type_name

_NUMBER = frozenset({int, float})
_SCALARS: dict[str, tuple[str, frozenset[type], str]] = {
    "max_tokens": ("max_tokens", frozenset({int}), "an integer"),
    "temperature": ("temperature", _NUMBER, "a number"),
    "top_p": ("top_p", _NUMBER, "a number"),
    "top_k": ("top_k", frozenset({int}), "an integer"),
    "seed": ("seed", frozenset({int}), "an integer"),
    "n": ("n", frozenset({int}), "an integer"),
    "presence_penalty": ("presence_penalty", _NUMBER, "a number"),
    "frequency_penalty": ("frequency_penalty", _NUMBER, "a number"),
    "logit_bias": ("logit_bias", frozenset({dict}), "an object"),
    "user": ("user", frozenset({str}), "a string"),
    "stream": ("stream", frozenset({bool}), "a boolean"),
}
"""Wire key -> domain field, the JSON types it may have, and their name. Null is kept in `extra`; any other type is malformed."""


class _Draft:
    """The request while it is being read."""

    __slots__ = ("bound", "extra", "fields", "form")

    def __init__(self) -> None:
        self.extra: JsonObject = {}
        self.form: list[str] = []
        self.bound: list[str] = []
        self.fields: dict[str, Json] = {"messages": ()}


def parse_request(body: bytes, path: str) -> Request:
    """Read a request. `path` says nothing on this wire. Raises `WireError` with `param` for malformed input."""
    raw = decode(body, what="the request body")
    if type(raw) is not dict:
        raise malformed("body", f"an object, not {type_name(raw)}")
    draft = _Draft()
    for key, value in raw.items():
        _take(draft, key, value)
    if "model" not in draft.fields:
        raise malformed("model", "given")
    if "prompt" not in raw:
        draft.form.append("prompt:absent")
    return Request(**draft.fields, dialect=NAME, extra=draft.extra or None, form=tuple(draft.form), bound=tuple(draft.bound))


def _take(draft: _Draft, key: str, value: Json) -> None:
    reader, scalar = _READERS.get(key), _SCALARS.get(key)
    if value is None or (reader is None and scalar is None):
        draft.extra[key] = value
        if value and key in _BINDING:
            draft.bound.append(key)
    elif reader is not None:
        reader(draft, value)
    elif scalar is not None and type(value) in scalar[1]:
        draft.fields[scalar[0]] = value
    elif scalar is not None:
        raise malformed(key, f"{scalar[2]}, not {type_name(value)}")


_BINDING = frozenset({"suffix", "echo"})
"""Keys that change what is asked for, and that only this wire has."""


def _model(draft: _Draft, value: Json) -> None:
    if type(value) is not str:
        raise malformed("model", f"a string, not {type_name(value)}")
    draft.fields["model"] = value


def _prompt(draft: _Draft, value: Json) -> None:
    if type(value) is str:
        draft.fields["messages"] = (user_message(value),)
        return
    if type(value) is not list:
        raise malformed("prompt", f"a string or an array, not {type_name(value)}")
    if value and all(type(item) is str for item in value):
        draft.fields["messages"] = tuple(user_message(item) for item in value)
        draft.form.append("prompt:list")
        if len(value) > 1:
            draft.bound.append("prompt[1]")
        return
    if not _are_tokens(value) and not all(type(item) is list and _are_tokens(item) for item in value):
        raise malformed("prompt", "a string, an array of strings, or tokens")
    draft.extra["prompt"] = value
    draft.bound.append("prompt")


def _are_tokens(items: list[Json]) -> bool:
    return all(type(item) is int for item in items)


def _stop(draft: _Draft, value: Json) -> None:
    words = [value] if type(value) is str else value
    if type(words) is not list or not all(type(word) is str for word in words):
        raise malformed("stop", "a string or an array of strings")
    draft.fields["stop"] = tuple(words)
    if type(value) is str or not words:
        draft.form.append("stop:string" if words else "stop:empty")


def _logprobs(draft: _Draft, value: Json) -> None:
    """How many alternatives to list beside each token, or (elsewhere than at OpenAI) whether to give log probabilities at all."""
    if type(value) is bool:
        draft.fields["logprobs"] = value
        draft.form.append("logprobs:boolean")
        return
    if type(value) is not int:
        raise malformed("logprobs", f"an integer, not {type_name(value)}")
    draft.fields["logprobs"] = True
    draft.fields["top_logprobs"] = value


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
    "prompt": _prompt,
    "stop": _stop,
    "logprobs": _logprobs,
    "stream_options": _stream_options,
}
