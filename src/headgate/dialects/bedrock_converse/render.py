"""Writing a Converse request. A request from this wire goes back as it came; one from another is fitted, its losses reported."""

from __future__ import annotations

import re
from operator import attrgetter

from headgate.dialects.base import RenderedRequest
from headgate.dialects.bedrock_converse.compose import render_blocks
from headgate.dialects.bedrock_converse.conversation import render_conversation
from headgate.dialects.bedrock_converse.names import render_path
from headgate.dialects.bedrock_converse.notes import Losses
from headgate.dialects.bedrock_converse.request import NO_MESSAGES
from headgate.dialects.bedrock_converse.settings import (
    NOVA_TOP_K,
    render_additional,
    render_inference,
    render_output,
    text_format,
)
from headgate.dialects.bedrock_converse.thinking import Thought, render_thinking
from headgate.dialects.bedrock_converse.tools import foreign_tools, input_schema, own_tools
from headgate.dialects.bedrock_converse.words import INLINE, NAME, STRUCTURED_TOOL
from headgate.domain.capabilities import Capabilities
from headgate.domain.request import Message, Request, ResponseFormat, require_unbound
from headgate.errors import Unsupported
from headgate.wire.json import Json, JsonObject, encode_text


def render_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """A request as path and payload. Raises `Unsupported` for what must be refused; every other loss is a `Note`."""
    require_unbound(request, NAME)
    losses = Losses(request, capabilities)
    payload = _own(request) if losses.own else _foreign(request, losses)
    path = render_path(request.model, "converse-stream" if request.stream else "converse")
    return RenderedRequest(path, payload, tuple(losses.notes))


_OWN_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "tool": "user", "developer": "system"}


def _own(request: Request) -> JsonObject:
    payload: JsonObject = dict(request.extra or {})
    messages = request.messages
    if messages and messages[0].role == "system" and messages[0].form != INLINE:
        payload["system"] = render_blocks(messages[0].content)
        messages = messages[1:]
    if messages or NO_MESSAGES not in request.form:
        payload["messages"] = [_own_message(message) for message in messages]
    _merge(payload, "inferenceConfig", render_inference(request))
    _merge(payload, "toolConfig", own_tools(request))
    _merge(payload, "additionalModelRequestFields", render_additional(request))
    _merge(payload, "outputConfig", render_output(request))
    if request.metadata is not None:
        payload["requestMetadata"] = request.metadata
    if request.service_tier is not None:
        payload["serviceTier"] = {"type": request.service_tier}
    return payload


def _own_message(message: Message) -> JsonObject:
    return {"role": _OWN_ROLES[message.role], "content": render_blocks(message.content), **(message.extra or {})}


def _merge(payload: JsonObject, key: str, fields: JsonObject) -> None:
    """Put fields beside what `extra` kept of the same object."""
    if fields:
        rest = payload.get(key)
        payload[key] = {**fields, **rest} if isinstance(rest, dict) else fields


def _foreign(request: Request, losses: Losses) -> JsonObject:
    if request.n is not None and request.n != 1:
        raise Unsupported(f"this wire gives one answer per call, not {request.n}", param="n", hint="send the request n times")
    tool_config = foreign_tools(request, losses)
    system, messages = render_conversation(request.messages, losses)
    output, tool_config = _format(request, tool_config, losses)
    thought = render_thinking(request, tool_config.get("toolChoice", {}), messages, losses)
    inference, additional = _sampling(request, thought, losses)
    if thought.effort is not None:
        output["effort"] = thought.effort
    wire: JsonObject = {
        "messages": messages,
        "system": system,
        "inferenceConfig": inference,
        "toolConfig": tool_config,
        "additionalModelRequestFields": {**thought.fields, **additional},
        "outputConfig": output,
        "requestMetadata": _metadata(request, losses),
        "serviceTier": _tier(request, losses),
    }
    _report(request, losses)
    return {key: value for key, value in wire.items() if value}


def _format(request: Request, tool_config: JsonObject, losses: Losses) -> tuple[JsonObject, JsonObject]:
    """The `outputConfig` for the wished form and the `toolConfig`, which a forced tool replaces on models without native support."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return {}, tool_config
    losses.foreign(wanted.extra, "response_format.")
    control = losses.capabilities.structured_output
    if wanted.kind == "json_object":
        losses.dropped("response_format", "this wire has no mode for any JSON: ask for it in the prompt, or give a schema")
    elif control == "native":
        return {"textFormat": text_format(wanted, encode_text(input_schema(wanted.schema, "response_format.schema")))}, tool_config
    elif control == "tool":
        return {}, _forced(wanted, tool_config, losses)
    else:
        losses.dropped("response_format", "the model takes no schema: ask for the form in the prompt")
    return {}, tool_config


def _forced(wanted: ResponseFormat, tool_config: JsonObject, losses: Losses) -> JsonObject:
    if tool_config:
        raise Unsupported(
            "this model answers in a schema only by a forced tool, which excludes other tools",
            param="response_format",
            hint="choose a model with native structured output: headgate models",
        )
    losses.approximated("response_format", "the schema is sent as a forced tool, whose definition counts as input")
    spec = {
        "name": STRUCTURED_TOOL,
        "description": wanted.description or "Give the answer in this form.",
        "inputSchema": {"json": input_schema(wanted.schema, "response_format.schema")},
    }
    return {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": STRUCTURED_TOOL}}}


def _sampling(request: Request, thought: Thought, losses: Losses) -> tuple[JsonObject, JsonObject]:
    """`inferenceConfig`, and the additional fields that sampling needs (translation cases 30–37)."""
    refused = _refused(request, losses, thinking=thought.on)
    for name, reason in refused.items():
        losses.dropped(name, reason)
    inference: JsonObject = {}
    if request.max_tokens is not None:
        inference["maxTokens"] = _max_tokens(request.max_tokens, losses)
    if request.temperature is not None and "temperature" not in refused:
        inference["temperature"] = _clamp(request.temperature, losses)
    if request.top_p is not None and "top_p" not in refused:
        inference["topP"] = request.top_p
    stops = _stops(request, losses)
    if stops:
        inference["stopSequences"] = stops
    top_k = None if "top_k" in refused else request.top_k
    return inference, _top_k(top_k, losses)


_SAMPLED = ("temperature", "top_p", "top_k")
_sampled = attrgetter(*_SAMPLED)


def _refused(request: Request, losses: Losses, *, thinking: bool) -> dict[str, str]:
    """The sampling fields that cannot go along, with the reason. Beside Claude's thinking only temperature 1 and top_p from 0.95 stand."""
    given = [name for name, value in zip(_SAMPLED, _sampled(request), strict=True) if value is not None]
    if not losses.capabilities.sampling:
        return dict.fromkeys(given, "the model chooses its own sampling")
    if thinking:
        fine = {"temperature": request.temperature == 1, "top_p": (request.top_p or 0) >= 0.95}
        return {name: "excluded by thinking" for name in given if not fine.get(name, False)}
    if "temperature" in given and "top_p" in given and not losses.capabilities.temperature_and_top_p:
        return {"top_p": "the model takes temperature or top_p, not both"}
    return {}


def _max_tokens(asked: int, losses: Losses) -> int:
    most = losses.capabilities.max_output
    if most is None or asked <= most:
        return asked
    losses.approximated("max_tokens", f"{asked} is above the model's most: {most} was sent")
    return most


def _clamp(value: float, losses: Losses) -> float:
    most = min(1, losses.capabilities.temperature_max or 1)
    if value <= most:
        return value
    losses.approximated("temperature", f"{min(value, 1e308):g} is above this wire's range: {most:g} was sent")
    return most


def _stops(request: Request, losses: Losses) -> list[str]:
    stops = [word for word in request.stop if word.strip()]
    if len(stops) < len(request.stop):
        losses.dropped("stop", "stop sequences of white space only are refused by this wire")
    most = losses.capabilities.stop_max
    if most is not None and len(stops) > most:
        losses.dropped("stop", f"only the first {most} of {len(stops)} stop sequences are taken")
        stops = stops[:most]
    return stops


def _top_k(value: int | None, losses: Losses) -> JsonObject:
    """`top_k` as the model's maker spells it among the additional fields."""
    if value is None:
        return {}
    if losses.maker == "amazon":
        return {"inferenceConfig": {NOVA_TOP_K: value}}
    key = {"anthropic": "top_k", "mistral": "top_k", "cohere": "k"}.get(losses.maker)
    if key is None:
        losses.dropped("top_k", "Bedrock takes it only from Claude, Nova, Mistral and Cohere, by the model's id")
        return {}
    return {key: value}


_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.\-]{0,256}")
_METADATA_MOST = 16


def _metadata(request: Request, losses: Losses) -> JsonObject:
    """`requestMetadata`: at most sixteen short texts in the wire's alphabet."""
    kept: JsonObject = {}
    if request.metadata is None:
        return kept
    for key, value in request.metadata.items():
        if len(kept) < _METADATA_MOST and _label(key) and key and _label(value):
            kept[key] = value
        else:
            losses.dropped(f"metadata.{key}", "this wire takes sixteen texts of letters, digits and :_@$#=/+,-. as metadata")
    return kept


def _label(value: Json) -> bool:
    return isinstance(value, str) and _METADATA.fullmatch(value) is not None


_TIERS = {"default": "default", "standard_only": "default", "flex": "flex", "priority": "priority", "reserved": "reserved"}


def _tier(request: Request, losses: Losses) -> JsonObject:
    if request.service_tier is None:
        return {}
    word = _TIERS.get(request.service_tier)
    if word is None:
        losses.dropped("service_tier", f"{request.service_tier!r} is not a tier of this wire")
        return {}
    return {"type": word}


_ABSENT = ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "user")
_absent = attrgetter(*_ABSENT)


def _report(request: Request, losses: Losses) -> None:
    """A note for each field or key this wire does not have; zero and false change nothing and need none."""
    if request.seed is not None:
        losses.dropped("seed", "not part of this wire")
    values = _absent(request)
    if any(values):
        for name, value in zip(_ABSENT, values, strict=True):
            if value:
                losses.dropped(name, "not part of this wire")
    losses.foreign(request.extra)
