"""Amazon Bedrock's Converse as bedrock-runtime speaks it (recorded traffic; Bedrock API reference, "Converse").

A request is read as the Anthropic message it amounts to, so that both have one meaning here; the answer is Converse's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from headgate.errors import WireError
from headgate.sim import anthropic_wire, event_frames, sigv4, tokens
from headgate.sim.anthropic_wire import Said, Turn
from headgate.sim.exchange import Answer, Problem, Request, answer_json, need_list, need_object
from headgate.sim.models import is_unknown
from headgate.sim.world import Call
from headgate.wire.json import Json, JsonObject, decode, encode_text

SERVICE = "bedrock"
_CORAL = "http://internal.amazon.com/coral/com.amazon.bedrock/"
_VALIDATION = "ValidationException"
_UNAVAILABLE = "ServiceUnavailableException"

BEDROCK_ERRORS: dict[str, tuple[int, str, str]] = {
    "auth": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "permission": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    "not_found": (404, "UnknownOperationException", "The requested operation is not recognized by the service."),
    "model_not_found": (400, _VALIDATION, "The provided model identifier is invalid."),
    "rate_limit": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "quota": (400, "ServiceQuotaExceededException", "Your request exceeds the service quota for your account."),
    "server": (500, "InternalServerException", "The system encountered an unexpected error during processing. Try your request again."),
    "unavailable": (503, _UNAVAILABLE, "The service is temporarily unavailable."),
    "overloaded": (503, _UNAVAILABLE, "Bedrock is unable to process your request."),
    "timeout": (408, "ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    "context_length": (400, _VALIDATION, "Input is too long for requested model."),
    "bad_request": (400, _VALIDATION, "The request is not valid."),
    "too_large": (400, _VALIDATION, "Member must have length less than or equal to 25000000"),
    "conflict": (409, "ConflictException", "Error occurred because of a conflict while performing an operation."),
}
"""Error name -> status, exception, message."""

_STOPS = {
    "end_turn": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "refusal": "content_filtered",
}


def authenticate(request: Request) -> str:
    """The account of a request: a Bedrock API key as bearer, or the access key of a sound signature."""
    if sigv4.is_signed(request):
        return sigv4.check(request, SERVICE)
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise Problem("auth", "Missing Authentication Token", code="MissingAuthenticationTokenException")
    if not key.startswith("sim-"):
        raise Problem("auth", "Authentication failed: Please make sure your API Key is valid.", code="AccessDeniedException")
    return key


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """``{"message"}`` with the exception's name in ``x-amzn-errortype``."""
    status, kind, message = BEDROCK_ERRORS[problem.name]
    headers = [("x-amzn-errortype", f"{_exception(problem, kind)}:{_CORAL}")]
    if problem.retry_after is not None:
        headers.append(("retry-after", f"{problem.retry_after:g}"))
    return answer_json({"message": problem.message or message}, status=problem.status or status, headers=tuple(headers))


def _exception(problem: Problem, usual: str) -> str:
    named = problem.code or ""
    return named if named.endswith("Exception") else usual


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An exception frame inside a stream that has begun."""
    _, kind, message = BEDROCK_ERRORS[problem.name]
    return event_frames.exception(kind[0].lower() + kind[1:], problem.message or message)


def model_of(call: Call) -> str:
    """The model in the path. Raises `Problem` when it does not exist."""
    model = call.params["model"]
    if is_unknown(model):
        raise Problem("model_not_found")
    return model


def parse_converse(model: str, body: JsonObject) -> Turn:
    """Read a Converse request."""
    config = need_object(body.get("inferenceConfig") or {}, "inferenceConfig")
    message: JsonObject = {
        "model": model,
        "messages": [_message(item, index) for index, item in enumerate(need_list(body.get("messages"), "messages"))],
        "system": list(_content(body.get("system") or [])),
        "max_tokens": config.get("maxTokens"),
        "stop_sequences": config.get("stopSequences"),
        **_tools(need_object(body.get("toolConfig") or {}, "toolConfig")),
        **_output_format(body.get("outputConfig")),
    }
    extra = need_object(body.get("additionalModelRequestFields") or {}, "additionalModelRequestFields")
    thinking = extra.get("thinking") or extra.get("reasoning_config")
    if thinking is not None:
        message["thinking"] = thinking
    return anthropic_wire.parse_message(message, limit_needed=False)


def _message(value: Json, index: int) -> JsonObject:
    item = need_object(value, f"messages.{index}")
    return {"role": item.get("role"), "content": list(_content(need_list(item.get("content"), f"messages.{index}.content")))}


def _content(blocks: list[Json]) -> Iterator[JsonObject]:
    """Converse's blocks as Anthropic's; a cache point marks the block before it."""
    held: JsonObject | None = None
    for block in blocks:
        kind, value = next(iter(need_object(block, "content").items()), ("", None))
        if kind == "cachePoint":
            held = {**(held or {"type": "text", "text": ""}), "cache_control": {"type": "ephemeral", "ttl": (value or {}).get("ttl", "5m")}}
            continue
        if held is not None:
            yield held
        held = _BLOCKS[kind](value) if kind in _BLOCKS else {"type": kind, "text": encode_text(value)}
    if held is not None:
        yield held


def _text(value: Json) -> JsonObject:
    return {"type": "text", "text": str(value)}


def _picture(value: Json) -> JsonObject:
    return {"type": "image"}


def _document(value: Json) -> JsonObject:
    source = need_object(need_object(value, "document").get("source") or {}, "document.source")
    return {"type": "document", "source": {"data": str(source.get("text") or source.get("bytes") or "")}}


def _tool_use(value: Json) -> JsonObject:
    use = need_object(value, "toolUse")
    return {"type": "tool_use", "id": use.get("toolUseId"), "name": use.get("name"), "input": use.get("input")}


def _tool_result(value: Json) -> JsonObject:
    result = need_object(value, "toolResult")
    parts = [
        {"type": "text", "text": str(part["text"]) if "text" in part else encode_text(part.get("json", part))}
        for part in result.get("content") or ()
    ]
    return {"type": "tool_result", "tool_use_id": result.get("toolUseId"), "content": parts}


def _reasoning(value: Json) -> JsonObject:
    said = need_object(value, "reasoningContent").get("reasoningText")
    return {"type": "thinking", "thinking": str(said.get("text", "")) if isinstance(said, dict) else ""}


_BLOCKS = {
    "text": _text,
    "image": _picture,
    "video": _picture,
    "document": _document,
    "toolUse": _tool_use,
    "toolResult": _tool_result,
    "reasoningContent": _reasoning,
}


def _tools(config: JsonObject) -> JsonObject:
    specs = [need_object(tool, "tools").get("toolSpec") for tool in config.get("tools") or ()]
    listed = [{"name": spec.get("name"), "input_schema": (spec.get("inputSchema") or {}).get("json") or {}} for spec in specs if spec]
    choice = config.get("toolChoice")
    made: JsonObject = {"tools": listed}
    if isinstance(choice, dict) and choice:
        kind, value = next(iter(choice.items()))
        made["tool_choice"] = {"type": kind, **({"name": value.get("name")} if kind == "tool" and isinstance(value, dict) else {})}
    return made


def _output_format(config: Json) -> JsonObject:
    """The schema, which Converse carries as text."""
    wanted = config.get("textFormat") if isinstance(config, dict) else None
    if not isinstance(wanted, dict):
        return {}
    named = need_object((wanted.get("structure") or {}).get("jsonSchema"), "outputConfig.textFormat.structure.jsonSchema")
    try:
        schema = decode(str(named.get("schema")))
    except WireError as error:
        raise Problem("bad_request", "outputConfig.textFormat.structure.jsonSchema.schema is not valid JSON") from error
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def execute(call: Call, turn: Turn) -> Said:
    """Let the model answer and put it on the bill."""
    said = anthropic_wire.execute(call, turn)
    call.charge(said.model, said.tokens, call.request_id)
    return said


def usage(said: Said) -> JsonObject:
    """The usage object: cached input stands beside the input, the total has all."""
    return {**_counts(said), **_cached(said)}


def _counts(said: Said) -> JsonObject:
    spent = said.tokens
    written = spent.cache_write_5m + spent.cache_write_1h
    made = spent.output + spent.reasoning
    return {
        "inputTokens": spent.input,
        "outputTokens": made,
        "totalTokens": spent.input + spent.cache_read + written + made,
        "serverToolUsage": {},
    }


def _cached(said: Said) -> JsonObject:
    spent = said.tokens
    written = spent.cache_write_5m + spent.cache_write_1h
    return {
        "cacheReadInputTokens": spent.cache_read,
        "cacheReadInputTokenCount": spent.cache_read,
        "cacheWriteInputTokens": written,
        "cacheWriteInputTokenCount": written,
    }


def _stop(said: Said) -> str:
    return _STOPS[anthropic_wire.message(said)["stop_reason"]]


def converse(call: Call) -> Answer:
    """``POST /model/{model}/converse``."""
    return answer_json(whole(execute(call, parse_converse(model_of(call), call.json()))))


def whole(said: Said) -> JsonObject:
    """The whole answer as one object."""
    message = {"role": "assistant", "content": [_block(block) for block in said.blocks]}
    return {"metrics": {"latencyMs": 1}, "output": {"message": message}, "stopReason": _stop(said), "usage": usage(said)}


def _block(block: JsonObject) -> JsonObject:
    """One of Anthropic's blocks as Converse's."""
    if block["type"] == "text":
        return {"text": block["text"]}
    if block["type"] == "thinking":
        return {"reasoningContent": {"reasoningText": {"text": block["thinking"], "signature": block["signature"]}}}
    return {"toolUse": {"toolUseId": _tool_id(block), "name": block["name"], "input": block["input"]}}


def _tool_id(block: JsonObject) -> str:
    return "tooluse_" + str(block["id"]).removeprefix("toolu_01")


def converse_stream(call: Call) -> Answer:
    """``POST /model/{model}/converse-stream``: frames; a text begins with its first piece, only a tool call is opened by a start event."""
    said = execute(call, parse_converse(model_of(call), call.json()))
    return Answer(events=tuple(_frames(said)), content_type=event_frames.EVENTSTREAM)


def _frames(said: Said) -> Iterator[bytes]:
    yield event_frames.event("messageStart", {"role": "assistant"})
    for index, block in enumerate(said.blocks):
        place = {"contentBlockIndex": index}
        if block["type"] == "tool_use":
            opened = {"toolUse": {"toolUseId": _tool_id(block), "name": block["name"]}}
            yield event_frames.event("contentBlockStart", {**place, "start": opened})
        for delta in _deltas(block):
            yield event_frames.event("contentBlockDelta", {**place, "delta": delta})
        yield event_frames.event("contentBlockStop", place)
    yield event_frames.event("messageStop", {"stopReason": _stop(said)})
    used = _cached(said)
    yield event_frames.event("metadata", {"metrics": {"latencyMs": 1}, "usage": {**_counts(said), **(used if any(used.values()) else {})}})


def _deltas(block: JsonObject) -> Iterator[JsonObject]:
    if block["type"] == "thinking":
        yield from ({"reasoningContent": {"text": piece}} for piece in tokens.pieces(block["thinking"], 24))
        yield {"reasoningContent": {"signature": block["signature"]}}
    elif block["type"] == "text":
        yield from ({"text": piece} for piece in tokens.pieces(block["text"]))
    else:
        yield from ({"toolUse": {"input": piece}} for piece in tokens.pieces(encode_text(block["input"])))
