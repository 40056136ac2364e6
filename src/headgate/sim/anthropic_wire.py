"""Anthropic messages as api.anthropic.com speaks them (recorded traffic; Anthropic API reference)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headgate.sim import tokens
from headgate.sim.bill import Tokens
from headgate.sim.dice import BASE62, token
from headgate.sim.exchange import SSE_TYPE, Answer, Problem, Request, answer_json, need_list, need_object
from headgate.sim.models import MODELS, is_unknown
from headgate.sim.prefixes import LONG_LIFE, MIN_TOKENS, SHORT_LIFE
from headgate.sim.responder import Ask, Reply, Tool, prompt_tokens, text_of
from headgate.sim.world import Call
from headgate.wire.json import Json, JsonObject, encode, encode_text

CONTEXT_WINDOW = 200_000
MAX_BREAKPOINTS = 4
MIN_THINKING_BUDGET = 1024
_FINISH = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool": "tool_use",
    "refusal": "refusal",
    "empty": "end_turn",
}
_BAD = "invalid_request_error"

ERRORS: dict[str, tuple[int, str, str]] = {
    "auth": (401, "authentication_error", "invalid x-api-key"),
    "permission": (403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "not_found": (404, "not_found_error", "Not found"),
    "model_not_found": (404, "not_found_error", "model not found"),
    "rate_limit": (429, "rate_limit_error", "This request would exceed the rate limit for your organization. Please try again later."),
    "quota": (400, _BAD, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."),
    "server": (500, "api_error", "Internal server error"),
    "unavailable": (503, "api_error", "Service unavailable"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "timeout": (504, "timeout_error", "Request timed out"),
    "context_length": (400, _BAD, f"prompt is too long: {CONTEXT_WINDOW + 1} tokens > {CONTEXT_WINDOW} maximum"),
    "bad_request": (400, _BAD, "Invalid request"),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "conflict": (409, _BAD, "Conflict"),
}
"""Error name -> status, type, default message."""

_RETRIED = frozenset({"rate_limit", "server", "unavailable", "overloaded", "timeout", "conflict"})


def authenticate(request: Request) -> str:
    """The account of a request: its x-api-key. Keys of the simulator start with ``sim-``."""
    key = request.headers.get("x-api-key", "")
    if not key:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise Problem("auth", "x-api-key header is required")
    if not key.startswith("sim-"):
        raise Problem("auth")
    if not request.headers.get("anthropic-version"):
        raise Problem("bad_request", "anthropic-version: header is required")
    return key


def error_body(problem: Problem, request_id: str | None) -> JsonObject:
    """``{"type": "error", "error": {type, message}, "request_id"}``."""
    _, kind, message = ERRORS[problem.name]
    return {"type": "error", "error": {"type": kind, "message": problem.message or message}, "request_id": request_id}


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem in Anthropic's shape, with Retry-After and x-should-retry."""
    headers = [("x-should-retry", "true" if problem.name in _RETRIED else "false")]
    if problem.retry_after is not None:
        headers.append(("retry-after", f"{problem.retry_after:g}"))
    return answer_json(error_body(problem, request_id), status=problem.status or ERRORS[problem.name][0], headers=tuple(headers))


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error event inside a stream that has begun."""
    return _event(error_body(problem, request_id))


class Breakpoint(msgspec.Struct, frozen=True):
    """A cache_control mark: the prompt up to it, its tokens, and whether it lives an hour."""

    prefix: str
    tokens: int
    long: bool


class Turn(msgspec.Struct, frozen=True):
    """A validated request."""

    ask: Ask
    stream: bool
    breakpoints: tuple[Breakpoint, ...]


def parse_message(body: JsonObject, *, limit_needed: bool = True) -> Turn:
    """Read a messages request as strictly as the provider does where clients notice."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem("bad_request", "model: Field required")
    if is_unknown(model):
        raise Problem("model_not_found", f"model: {model}")
    limit = body.get("max_tokens")
    if limit_needed and limit is None:
        raise Problem("bad_request", "max_tokens: Field required")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise Problem("bad_request", "max_tokens: Input should be greater than or equal to 1")
    if "messages" not in body:
        raise Problem("bad_request", "messages: Field required")
    messages = [need_object(message, f"messages.{index}") for index, message in enumerate(need_list(body["messages"], "messages"))]
    _check_messages(messages)
    thinks = _thinks(body.get("thinking"), limit)
    return Turn(_ask(model, body, messages, limit, thinks), body.get("stream") is True, tuple(_breakpoints(body, messages)))


def _check_messages(messages: list[JsonObject]) -> None:
    if not messages:
        raise Problem("bad_request", "messages: at least one message is required")
    for index, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant"):
            raise Problem("bad_request", f"messages.{index}.role: Input should be 'user' or 'assistant'")
        if not message.get("content") and not (message["role"] == "assistant" and index == len(messages) - 1):
            raise Problem(
                "bad_request",
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant message",
            )


def _thinks(thinking: Json, limit: int | None) -> bool:
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < MIN_THINKING_BUDGET:
            raise Problem("bad_request", "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if limit is not None and budget >= limit:
            raise Problem("bad_request", "`max_tokens` must be greater than `thinking.budget_tokens`.")
    return kind in ("enabled", "adaptive")


def _ask(model: str, body: JsonObject, messages: list[JsonObject], limit: int | None, thinks: bool) -> Ask:
    forced, no_tools = _tool_choice(body.get("tool_choice"))
    system = text_of(body.get("system"))
    return Ask(
        model=model,
        texts=(*((system,) if system else ()), *(_flat(message["content"]) for message in messages if message.get("content"))),
        last_user=next((text_of(message.get("content")) for message in reversed(messages) if message["role"] == "user"), ""),
        results=_results(messages[-1]),
        schema=_schema(body),
        tools=_tools(body.get("tools")),
        forced=forced,
        no_tools=no_tools,
        max_tokens=limit,
        stops=tuple(str(item) for item in body.get("stop_sequences") or ()),
        thinks=thinks,
        images=sum(_images(message.get("content")) for message in messages),
    )


def _blocks(content: Json) -> list[JsonObject]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _flat(content: Json) -> str:
    """All text a message's content carries, tool calls and results included."""
    if isinstance(content, str):
        return content
    return "\n".join(_block_text(block) for block in _blocks(content))


def _block_text(block: JsonObject) -> str:
    kind = block.get("type")
    if kind == "tool_use":
        return encode_text({"name": block.get("name"), "input": block.get("input")})
    if kind == "tool_result":
        return _flat(block.get("content"))
    if kind == "document":
        source = block.get("source")
        return str(source.get("data", "")) if isinstance(source, dict) else ""
    return str(block.get("text", block.get("thinking", "")))


def _results(last: JsonObject) -> tuple[str, ...]:
    return tuple(_flat(block.get("content")) for block in _blocks(last.get("content")) if block.get("type") == "tool_result")


def _images(content: Json) -> int:
    return sum(block.get("type") == "image" for block in _blocks(content))


def _schema(body: JsonObject) -> JsonObject | None:
    """The schema of ``output_config.format`` (or of its predecessor ``output_format``)."""
    config = body.get("output_config")
    wanted = (config.get("format") if isinstance(config, dict) else None) or body.get("output_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    return need_object(wanted.get("schema"), "output_config.format.schema")


def _tools(value: Json) -> tuple[Tool, ...]:
    return tuple(
        Tool(str(tool["name"]), tool.get("input_schema") or {"type": "object"})
        for tool in value or ()
        if isinstance(tool, dict) and "name" in tool
    )


def _tool_choice(value: Json) -> tuple[str | None, bool]:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "tool":
        return str(value.get("name", "")), False
    return ("" if kind == "any" else None), kind == "none"


def _breakpoints(body: JsonObject, messages: list[JsonObject]) -> Iterator[Breakpoint]:
    """Every cache_control mark in prompt order: tools, system, messages; a top-level mark stands at the end."""
    blocks = [
        *_blocks(body.get("tools")),
        *_blocks(body.get("system")),
        *(block for message in messages for block in (_blocks(message.get("content")) or [{"text": message.get("content")}])),
    ]
    if body.get("cache_control") and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": body["cache_control"]}
    marks = [block.get("cache_control") for block in blocks]
    if sum(map(bool, marks)) > MAX_BREAKPOINTS:
        raise Problem("bad_request", f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided.")
    prefix, size = "", 0
    for block, mark in zip(blocks if any(marks) else (), marks, strict=False):
        text = _block_text(block) if "name" not in block else encode_text({key: block[key] for key in block if key != "cache_control"})
        prefix += "\x1e" + text
        size += tokens.count(text) + tokens.MESSAGE_OVERHEAD
        if isinstance(mark, dict):
            yield Breakpoint(prefix, size, mark.get("ttl") == "1h")


class Said(msgspec.Struct, frozen=True):
    """An executed request, ready to be written whole or as a stream."""

    id: str
    model: str
    reply: Reply
    blocks: tuple[JsonObject, ...]
    tokens: Tokens
    tier: str


def execute(call: Call, turn: Turn, *, tier: str = "standard", use_cache: bool = True) -> Said:
    """Let the model answer. Raises `Problem` when the prompt does not fit."""
    prompt = prompt_tokens(turn.ask)
    if prompt > CONTEXT_WINDOW:
        raise Problem("context_length", f"prompt is too long: {prompt} tokens > {CONTEXT_WINDOW} maximum")
    reply = call.reply(turn.ask)
    read, short, long = _cache(call, turn, prompt) if use_cache else (0, 0, 0)
    return Said(
        id=call.world.new_id("msg_01", 22),
        model=turn.ask.model,
        reply=reply,
        blocks=tuple(_reply_blocks(call, reply)),
        tokens=Tokens(
            input=prompt - read - short - long,
            cache_read=read,
            cache_write_5m=short,
            cache_write_1h=long,
            output=reply.output,
            reasoning=reply.reasoning,
        ),
        tier=tier,
    )


def _cache(call: Call, turn: Turn, prompt: int) -> tuple[int, int, int]:
    """Tokens read from the cache, and written for five minutes and for an hour."""
    memory, now = call.world.prefixes, call.now
    read, written = 0, {False: 0, True: 0}
    for mark in turn.breakpoints:
        size = min(mark.tokens, prompt)
        if size < MIN_TOKENS:
            continue
        if memory.known(call.account, turn.ask.model, mark.prefix, now):
            read, written = size, {False: 0, True: 0}
            continue
        memory.learn(call.account, turn.ask.model, mark.prefix, now, LONG_LIFE if mark.long else SHORT_LIFE)
        written[mark.long] += size - read - sum(written.values())
    return read, written[False], written[True]


def _reply_blocks(call: Call, reply: Reply) -> Iterator[JsonObject]:
    if reply.thinking:
        yield {"type": "thinking", "thinking": reply.thinking, "signature": token(BASE62, 80, "signature", reply.thinking)}
    if reply.text and reply.finish != "refusal":
        yield {"type": "text", "text": reply.text}
    for made in reply.calls:
        yield {"type": "tool_use", "id": call.world.new_id("toolu_01", 22), "name": made.name, "input": made.arguments}


def messages(call: Call) -> Answer:
    """``POST /v1/messages``."""
    turn = parse_message(call.json())
    said = execute(call, turn)
    call.charge(said.model, said.tokens, said.id)
    if turn.stream:
        headers = (("cache-control", "no-cache"), *_limits())
        return Answer(events=tuple(stream(said)), content_type=SSE_TYPE + "; charset=utf-8", headers=headers)
    return answer_json(message(said), headers=_limits())


def _limits() -> tuple[tuple[str, str], ...]:
    return (("anthropic-ratelimit-requests-limit", "4000"), ("anthropic-ratelimit-requests-remaining", "3999"))


def usage(said: Said) -> JsonObject:
    """The usage object; thinking is part of the output's tokens."""
    spent = said.tokens
    body: JsonObject = {
        "input_tokens": spent.input,
        "cache_creation_input_tokens": spent.cache_write_5m + spent.cache_write_1h,
        "cache_read_input_tokens": spent.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": spent.cache_write_5m,
            "ephemeral_1h_input_tokens": spent.cache_write_1h,
        },
        "output_tokens": spent.output + spent.reasoning,
        "service_tier": said.tier,
        "inference_geo": "not_available",
    }
    if spent.reasoning:
        body["output_tokens_details"] = {"thinking_tokens": spent.reasoning}
    return body


def message(said: Said) -> JsonObject:
    """The whole answer as one object."""
    return {
        "model": said.model,
        "id": said.id,
        "type": "message",
        "role": "assistant",
        "content": list(said.blocks),
        "stop_reason": _FINISH[said.reply.finish],
        "stop_sequence": said.reply.stop_sequence,
        "stop_details": None,
        "usage": usage(said),
    }


def stream(said: Said) -> Iterator[bytes]:
    """Server-sent events of the answer, ending in ``message_stop``."""
    first = usage(said)
    first.pop("output_tokens_details", None)
    start = {**message(said), "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**first, "output_tokens": 1}}
    yield _event({"type": "message_start", "message": start})
    for index, block in enumerate(said.blocks):
        empty, deltas = _OPENINGS[block["type"]](block)
        yield _event({"type": "content_block_start", "index": index, "content_block": empty})
        if index == 0:
            yield b'event: ping\ndata: {"type": "ping"}\n\n'
        for delta in deltas:
            yield _event({"type": "content_block_delta", "index": index, "delta": delta})
        yield _event({"type": "content_block_stop", "index": index})
    final = usage(said)
    for name in ("service_tier", "inference_geo", "cache_creation"):
        final.pop(name)
    stop = {"stop_reason": _FINISH[said.reply.finish], "stop_sequence": said.reply.stop_sequence, "stop_details": None}
    yield _event({"type": "message_delta", "delta": stop, "usage": final})
    yield _event({"type": "message_stop"})


def _text_opening(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in tokens.pieces(block["text"])]


def _thinking_opening(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    deltas: list[JsonObject] = [{"type": "thinking_delta", "thinking": piece} for piece in tokens.pieces(block["thinking"], 24)]
    return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, {"type": "signature_delta", "signature": block["signature"]}]


def _tool_opening(block: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    pieces = ["", *tokens.pieces(encode_text(block["input"]))]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


_OPENINGS = {"text": _text_opening, "thinking": _thinking_opening, "tool_use": _tool_opening}


def _event(body: JsonObject) -> bytes:
    """One event; the blanks before the last brace are the provider's habit."""
    data = encode(body)
    return b"event: %b\ndata: %b%b}\n\n" % (body["type"].encode(), data[:-1], b" " * (len(data) % 15))


def count_tokens(call: Call) -> Answer:
    """``POST /v1/messages/count_tokens``."""
    return answer_json({"input_tokens": prompt_tokens(parse_message(call.json(), limit_needed=False).ask)})


def _model_info(name: str) -> JsonObject:
    return {"type": "model", "id": name, "display_name": name.replace("-", " ").title(), "created_at": "2025-06-15T00:00:00Z"}


def models(call: Call) -> Answer:
    """``GET /v1/models``."""
    return answer_json({"data": [_model_info(name) for name in MODELS], "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})


def model(call: Call) -> Answer:
    """``GET /v1/models/{model}``."""
    name = call.params["model"]
    if is_unknown(name):
        raise Problem("model_not_found", f"model: {name}")
    return answer_json(_model_info(name))
