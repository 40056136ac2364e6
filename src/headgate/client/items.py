"""Requests from plain mappings, as code that is moved here writes them: messages, content or text, and settings beside it (BPS-24)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from headgate.dialects import openai_chat
from headgate.domain.request import Request, ResponseFormat, system_message
from headgate.errors import UsageError, WireError
from headgate.wire.json import Json, JsonObject, encode

INPUTS = ("messages", "content", "text", "prompt")
"""Keys that carry what is asked; one of them is needed."""
EXAMPLE = '{"messages": [{"role": "user", "content": "Hello"}]}'

_GENERATION = {
    "temperature": "temperature",
    "top_p": "top_p",
    "topP": "top_p",
    "top_k": "top_k",
    "topK": "top_k",
    "max_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "maxOutputTokens": "max_tokens",
    "stop_sequences": "stop",
    "stopSequences": "stop",
    "seed": "seed",
    "candidate_count": "n",
    "candidateCount": "n",
    "presence_penalty": "presence_penalty",
    "presencePenalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "frequencyPenalty": "frequency_penalty",
}
"""Words of a `generation_config`, in either spelling, and the field each of them sets."""
_MIME, _SCHEMA = ("response_mime_type", "responseMimeType"), ("response_schema", "responseSchema", "responseJsonSchema")
_OWN = {*INPUTS, "system", "generation_config", "custom_id", "model"}


def request_of(item: Mapping[str, Json], model: str) -> Request:
    """The chat request an item stands for.

    What is asked comes as `messages` (as OpenAI writes them), or as `content`, `text` or `prompt` (one user turn); `system` goes before
    it; `generation_config` and the keys beside it (the latter win) set the rest, in OpenAI's words. Raises `UsageError`.
    """
    given = [name for name in INPUTS if item.get(name) is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} say the same twice" if given else f"none of {', '.join(INPUTS)} is there"
        raise UsageError(f"an item needs one thing to ask: {what}", hint=EXAMPLE)
    plain, form = _generation(item.get("generation_config") or {})
    settings = {**plain, **{name: value for name, value in item.items() if name not in _OWN and value is not None}}
    request = _parsed({**settings, "model": model, "messages": _messages(given[0], item[given[0]])})
    if form is not None and request.response_format is None:
        request = msgspec.structs.replace(request, response_format=form)
    if item.get("system"):
        request = msgspec.structs.replace(request, messages=(system_message(str(item["system"])), *request.messages))
    return request


def schema_format(schema: JsonObject) -> ResponseFormat:
    """The form of answers that follow a JSON Schema, named after its title."""
    title = schema.get("title")
    return ResponseFormat("json_schema", schema=schema, name=title if isinstance(title, str) and title else "answer")


def _messages(name: str, value: Json) -> list[Json]:
    if name != "messages":
        return [{"role": "user", "content": value}]
    if not isinstance(value, list | tuple) or not value:
        raise UsageError("messages must be a list of at least one message", hint=EXAMPLE)
    return list(value)


def _generation(config: Json) -> tuple[JsonObject, ResponseFormat | None]:
    """The settings of a `generation_config`, and the form of the answer it asks for."""
    if not isinstance(config, Mapping):
        raise UsageError("generation_config must be a mapping", hint='"generation_config": {"temperature": 0}')
    settings: JsonObject = {}
    for name, value in config.items():
        if name in _GENERATION:
            settings[_GENERATION[name]] = value
        elif name not in (*_MIME, *_SCHEMA):
            raise UsageError(f"generation_config: {name!r} is not known; known are {', '.join((*_GENERATION, *_MIME, *_SCHEMA))}")
    schema = next((config[name] for name in _SCHEMA if config.get(name) is not None), None)
    if schema is not None:
        return settings, schema_format(schema)
    wants_json = any(config.get(name) == "application/json" for name in _MIME)
    return settings, ResponseFormat("json_object") if wants_json else None


def _parsed(body: JsonObject) -> Request:
    try:
        return openai_chat.DIALECT.parse_request(encode(body), "")
    except (WireError, msgspec.EncodeError, TypeError) as error:
        raise UsageError(f"the item cannot be read: {error}", hint=EXAMPLE) from error
