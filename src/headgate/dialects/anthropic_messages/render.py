"""Writing a Messages request. A request from this wire goes back as it came; one from another is fitted, its losses reported."""

from __future__ import annotations

import re

from headgate.dialects.anthropic_messages.blocks import LIST
from headgate.dialects.anthropic_messages.compose import content_value
from headgate.dialects.anthropic_messages.conversation import render_conversation
from headgate.dialects.anthropic_messages.notes import Losses
from headgate.dialects.anthropic_messages.request import INLINE, OUTPUT_FORMAT
from headgate.dialects.anthropic_messages.sampling import render_sampling, report_unknown, stop_sequences
from headgate.dialects.anthropic_messages.structured import FREE, Shape, render_format
from headgate.dialects.anthropic_messages.thinking import SILENT, Thought, foreign_thinking, own_thinking
from headgate.dialects.anthropic_messages.tools import render_tool_choice, render_tools
from headgate.dialects.anthropic_messages.words import NAME, PATH
from headgate.dialects.base import RenderedRequest
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Opaque, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message, Reasoning, Request, require_unbound
from headgate.errors import Unsupported
from headgate.wire.http import Headers
from headgate.wire.json import Json, JsonObject

BETAS = "anthropic_beta"
"""Key under which a request keeps the names of betas, whichever way they came."""
BETA = re.compile(r"[A-Za-z0-9._-]{1,128}")
DEFAULT_MAX_TOKENS = 4096
"""Asked for, and reported, when neither the caller nor the model's card names a number (OCT-27)."""


def render_request(request: Request, capabilities: Capabilities) -> RenderedRequest:
    """A request as a Messages payload. Raises `Unsupported` for what must be refused; every other loss is a `Note`."""
    require_unbound(request, NAME)
    losses = Losses(capabilities, request.dialect)
    payload = _own(request, losses) if losses.own else _foreign(request, losses)
    return RenderedRequest(PATH, payload, tuple(losses.notes), _betas(payload) if BETAS in payload else ())


def _betas(payload: JsonObject) -> Headers:
    """The betas a request names, out of its body: they travel in a header on this wire (in the body on Bedrock)."""
    named = payload[BETAS]
    if not isinstance(named, list) or not all(isinstance(name, str) and BETA.fullmatch(name) for name in named):
        return ()
    del payload[BETAS]
    return (("anthropic-beta", ",".join(named)),) if named else ()


_OWN_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "tool": "user", "developer": "system"}


def _own(request: Request, losses: Losses) -> JsonObject:
    payload: JsonObject = {"model": request.model}
    messages = request.messages
    if messages and messages[0].role == "system" and not messages[0].form.startswith(INLINE):
        payload["system"] = content_value(messages[0].content, messages[0].form)
        messages = messages[1:]
    payload["messages"] = [_own_message(message) for message in messages]
    if request.max_tokens is not None:
        payload["max_tokens"] = request.max_tokens
    for key in ("temperature", "top_p", "top_k", "service_tier", "stream"):
        value = getattr(request, key)
        if value is not None:
            payload[key] = value
    if request.stop:
        payload["stop_sequences"] = list(request.stop)
    tools = render_tools(request, losses)
    if tools:
        payload["tools"] = tools
    choice = render_tool_choice(request, tools, losses)
    if choice is not None:
        payload["tool_choice"] = choice
    thought = SILENT if request.reasoning is None else own_thinking(request.reasoning)
    _own_extra(request, payload, thought)
    return payload


def _own_message(message: Message) -> JsonObject:
    form = LIST if message.form.endswith(LIST) else ""
    wire: JsonObject = {"role": _OWN_ROLES[message.role], "content": content_value(message.content, form)}
    if message.extra:
        wire.update(message.extra)
    return wire


def _own_extra(request: Request, payload: JsonObject, thought: Thought) -> None:
    """Thinking, the answer's format, the user, and the keys that no field holds."""
    extra = request.extra or {}
    config: JsonObject = {}
    if thought.thinking is not None:
        payload["thinking"] = thought.thinking
    if thought.effort is not None:
        config["effort"] = thought.effort
    wanted = request.response_format
    if wanted is not None and wanted.kind == "json_schema":
        wire = {"type": "json_schema", "schema": wanted.schema, **(wanted.extra or {})}
        if OUTPUT_FORMAT in request.form:
            payload[OUTPUT_FORMAT] = wire
        else:
            config["format"] = wire
    payload.update(extra)
    _merge(payload, "output_config", config)
    if request.user is not None:
        _merge(payload, "metadata", {"user_id": request.user})


def _merge(payload: JsonObject, key: str, fields: JsonObject) -> None:
    if fields:
        rest = payload.get(key)
        payload[key] = {**fields, **rest} if isinstance(rest, dict) else fields


def _foreign(request: Request, losses: Losses) -> JsonObject:
    if request.n is not None and request.n != 1:
        raise Unsupported(f"this wire gives one answer per call, not {request.n}", param="n", hint="send the request n times")
    max_tokens = _max_tokens(request, losses)
    system, messages = render_conversation(request.messages, losses)
    payload: JsonObject = {"model": request.model, "max_tokens": max_tokens, "messages": messages}
    if system is not None:
        payload["system"] = system
    shape = FREE if request.response_format is None else render_format(request, losses)
    choice = None
    if request.tools or request.tool_choice is not None or shape is not FREE:
        choice = _foreign_tools(request, payload, shape, losses)
    thought = SILENT if request.reasoning is None else _thought(request, request.reasoning, choice, payload, losses)
    render_sampling(request, payload, losses, thinking=thought is not SILENT and thought.on)
    if request.stop:
        stops = stop_sequences(request, losses)
        if stops:
            payload["stop_sequences"] = stops
    if thought is not SILENT or shape is not FREE:
        _foreign_config(payload, thought, shape)
    if request.user is not None:
        payload["metadata"] = {"user_id": request.user}
    if request.stream is not None:
        payload["stream"] = request.stream
    report_unknown(request, payload, losses)
    if losses.breakpoints:
        losses.limit_breakpoints()
    return payload


def _foreign_tools(request: Request, payload: JsonObject, shape: Shape, losses: Losses) -> JsonObject | None:
    """Put tools and tool choice into the payload; the choice is returned."""
    tools = render_tools(request, losses) + shape.tools if request.tools else shape.tools
    choice = shape.tool_choice
    if choice is None:
        choice = render_tool_choice(request, tools, losses)
    if tools:
        payload["tools"] = tools
    if choice is not None:
        payload["tool_choice"] = choice
    return choice


def _max_tokens(request: Request, losses: Losses) -> int:
    capabilities = losses.capabilities
    asked, most = request.max_tokens, capabilities.max_output
    if asked is None:
        chosen = capabilities.default_output or most or DEFAULT_MAX_TOKENS
        losses.approximated("max_tokens", f"this wire needs a number: {chosen} was sent")
        return chosen
    if most is not None and asked > most:
        losses.approximated("max_tokens", f"{asked} is above the model's most: {most} was sent")
        return most
    return asked


def _foreign_config(payload: JsonObject, thought: Thought, shape: Shape) -> None:
    if thought.thinking is not None:
        payload["thinking"] = thought.thinking
    config: JsonObject = {}
    if thought.effort is not None:
        config["effort"] = thought.effort
    if shape.format is not None:
        config["format"] = shape.format
    if config:
        payload["output_config"] = config


def _thought(request: Request, wanted: Reasoning, choice: JsonObject | None, payload: JsonObject, losses: Losses) -> Thought:
    """The thinking that goes with everything else that was asked; what this wire refuses beside thinking turns it off, reported."""
    thought = foreign_thinking(wanted, payload["max_tokens"], losses)
    if not thought.on:
        return thought
    reason = _obstacle(request.messages, choice, payload["messages"], thought)
    if reason is None:
        return thought
    if losses.capabilities.reasoning_required:
        raise Unsupported(f"this model always thinks, and {reason}", param="reasoning", hint="headgate models")
    losses.dropped("reasoning", reason)
    return SILENT


def _obstacle(messages: tuple[Message, ...], choice: JsonObject | None, turns: list[Json], thought: Thought) -> str | None:
    """Why the wire would refuse thinking here; None when it would not (translation cases 20, 73)."""
    if choice is not None and choice["type"] in ("any", "tool"):
        return "a forced tool call excludes thinking"
    if turns[-1]["role"] == "assistant":
        return "an assistant message to be continued excludes thinking"
    if thought.thinking is not None and thought.thinking["type"] == "enabled" and _thoughts_lost(messages):
        return "the assistant turn with the tool calls came back without its signed thoughts"
    return None


def _thoughts_lost(messages: tuple[Message, ...]) -> bool:
    """The talk is inside a tool loop whose assistant turn no longer begins with signed thoughts."""
    last = messages[-1]
    if last.role != "tool" and not any(isinstance(block, ToolResult) for block in last.content):
        return False
    for message in reversed(messages):
        if message.role == "assistant" and any(isinstance(block, ToolCall) for block in message.content):
            first = message.content[0]
            signed = isinstance(first, Thinking) and (first.signature or first.redacted)
            return not signed and not isinstance(first, Opaque)
    return False
