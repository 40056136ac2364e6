"""OpenAI chat completions as api.openai.com speaks them (recorded traffic; OpenAI API reference)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headgate.sim import tokens
from headgate.sim.bill import Tokens
from headgate.sim.exchange import SSE_TYPE, Answer, Problem, Request, answer_json, need_list, need_object
from headgate.sim.models import MODELS, is_unknown
from headgate.sim.prefixes import MIN_TOKENS
from headgate.sim.responder import Ask, Reply, Tool, prompt_tokens, text_of
from headgate.sim.world import Call
from headgate.wire.json import Json, JsonObject, encode, encode_text

CONTEXT_WINDOW = 128_000
MAX_CHOICES = 128
CACHE_STEP = 128
DONE = b"data: [DONE]\n\n"
_FINISH = {"stop": "stop", "stop_sequence": "stop", "length": "length", "tool": "tool_calls", "refusal": "stop", "empty": "stop"}

_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. "
    "For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_SERVER = "The server had an error processing your request. Sorry about that! You can retry your request."
_OVERLOADED = "That model is currently overloaded with other requests. You can retry your request."
_BAD = "invalid_request_error"

ERRORS: dict[str, tuple[int, str, str | None, str]] = {
    "auth": (401, _BAD, "invalid_api_key", "Incorrect API key provided."),
    "permission": (403, "request_forbidden", "unsupported_country_region_territory", "Country, region, or territory not supported"),
    "not_found": (404, _BAD, None, "Not found."),
    "model_not_found": (404, _BAD, "model_not_found", "The model does not exist or you do not have access to it."),
    "rate_limit": (429, "requests", "rate_limit_exceeded", "Rate limit reached on requests per min (RPM). Please try again later."),
    "quota": (429, "insufficient_quota", "insufficient_quota", _QUOTA),
    "server": (500, "server_error", None, _SERVER),
    "unavailable": (503, "server_error", None, _OVERLOADED),
    "overloaded": (503, "server_error", None, _OVERLOADED),
    "timeout": (504, "server_error", None, "The request timed out."),
    "context_length": (400, _BAD, "context_length_exceeded", f"This model's maximum context length is {CONTEXT_WINDOW} tokens."),
    "bad_request": (400, _BAD, None, "Invalid request."),
    "too_large": (413, _BAD, None, "The request is too large."),
    "conflict": (409, _BAD, None, "The request conflicts with the current state."),
}
"""Error name -> status, type, code, default message."""


def authenticate(request: Request) -> str:
    """The account of a request: its bearer key. Keys of the simulator start with ``sim-``."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key:
        raise Problem("auth", "You didn't provide an API key. You need to provide your API key in an Authorization header.", code="")
    if not key.startswith("sim-"):
        shown = f"{key[:3]}***{key[-4:]}" if len(key) > 12 else key[:3]
        raise Problem(
            "auth",
            f"Incorrect API key provided: {shown}. You can find your API key at https://platform.openai.com/account/api-keys.",
        )
    return key


def error_body(problem: Problem) -> JsonObject:
    """``{"error": {message, type, param, code}}``."""
    _, kind, code, message = ERRORS[problem.name]
    shown = code if problem.code is None else (problem.code or None)
    return {"error": {"message": problem.message or message, "type": kind, "param": problem.param, "code": shown}}


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem in OpenAI's shape, with its Retry-After headers."""
    headers: list[tuple[str, str]] = []
    if problem.retry_after is not None:
        headers = [("retry-after", f"{problem.retry_after:g}"), ("retry-after-ms", str(round(problem.retry_after * 1000)))]
    return answer_json(error_body(problem), status=problem.status or ERRORS[problem.name][0], headers=tuple(headers))


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error inside a stream that has begun."""
    return b"data: " + encode(error_body(problem)) + b"\n\n"


class Chat(msgspec.Struct, frozen=True):
    """A validated request: what the model is asked, and how the answer is wanted."""

    ask: Ask
    count: int
    stream: bool
    include_usage: bool


def parse_chat(body: JsonObject) -> Chat:
    """Read a chat request as strictly as the provider does where clients notice."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem("bad_request", "you must provide a model parameter")
    if is_unknown(model):
        raise Problem("model_not_found", f"The model `{model}` does not exist or you do not have access to it.")
    if "messages" not in body:
        raise Problem("bad_request", "Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages")
    options = body.get("stream_options") or {}
    count = body.get("n") or 1
    if not isinstance(count, int) or not 1 <= count <= MAX_CHOICES:
        raise Problem("bad_request", f"Invalid 'n': must be between 1 and {MAX_CHOICES}.", code="invalid_value", param="n")
    return Chat(
        ask=_ask(model, body),
        count=count,
        stream=body.get("stream") is True,
        include_usage=need_object(options, "stream_options").get("include_usage") is True,
    )


def _ask(model: str, body: JsonObject) -> Ask:
    messages = [need_object(message, f"messages[{index}]") for index, message in enumerate(need_list(body["messages"], "messages"))]
    if not messages:
        raise Problem("bad_request", "Invalid 'messages': empty array.", code="empty_array", param="messages")
    for index, message in enumerate(messages):
        _check_role(message, index)
    schema, json_object = _format(body.get("response_format"))
    forced, no_tools = _tool_choice(body.get("tool_choice"))
    return Ask(
        model=model,
        texts=tuple(_texts(messages)),
        last_user=next((text_of(message.get("content")) for message in reversed(messages) if message["role"] == "user"), ""),
        results=_results(messages),
        schema=schema,
        json_object=json_object,
        tools=_tools(body.get("tools")),
        forced=forced,
        no_tools=no_tools,
        max_tokens=_limit(body),
        stops=_stops(body.get("stop")),
        thinks=body.get("reasoning_effort") not in (None, "none", "minimal"),
        images=sum(_images(message.get("content")) for message in messages),
    )


_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def _check_role(message: JsonObject, index: int) -> None:
    role = message.get("role")
    if role not in _ROLES:
        raise Problem(
            "bad_request",
            f"Invalid value: '{role}'. Supported values are: {', '.join(map(repr, _ROLES))}.",
            code="invalid_value",
            param=f"messages[{index}].role",
        )


def _texts(messages: list[JsonObject]) -> Iterator[str]:
    for message in messages:
        calls = message.get("tool_calls")
        yield text_of(message.get("content")) + (encode_text(calls) if calls else "")


def _results(messages: list[JsonObject]) -> tuple[str, ...]:
    """Tool results after the last assistant message."""
    found: list[str] = []
    for message in reversed(messages):
        if message["role"] not in ("tool", "function"):
            break
        found.append(text_of(message.get("content")))
    return tuple(reversed(found))


def _images(content: Json) -> int:
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in content) if isinstance(content, list) else 0


def _format(wanted: Json) -> tuple[JsonObject | None, bool]:
    """The schema asked for, or whether any JSON object will do."""
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind != "json_schema":
        return None, kind == "json_object"
    named = need_object(wanted.get("json_schema"), "response_format.json_schema")
    if not named.get("name"):
        raise Problem(
            "bad_request",
            "Missing required parameter: 'response_format.json_schema.name'.",
            code="missing_required_parameter",
            param="response_format.json_schema.name",
        )
    return need_object(named.get("schema", {}), "response_format.json_schema.schema"), False


def _tools(value: Json) -> tuple[Tool, ...]:
    functions = [tool["function"] for tool in value or () if isinstance(tool, dict) and isinstance(tool.get("function"), dict)]
    return tuple(Tool(str(function.get("name")), function.get("parameters") or {"type": "object"}) for function in functions)


def _tool_choice(value: Json) -> tuple[str | None, bool]:
    if isinstance(value, dict):
        return str(need_object(value.get("function", {}), "tool_choice.function").get("name", "")), False
    return ("" if value == "required" else None), value == "none"


def _limit(body: JsonObject) -> int | None:
    value = body.get("max_completion_tokens", body.get("max_tokens"))
    if value is not None and (not isinstance(value, int) or value < 1):
        raise Problem("bad_request", "Invalid 'max_tokens': must be at least 1.", code="integer_below_min_value", param="max_tokens")
    return value


def _stops(value: Json) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value or ())


class Done(msgspec.Struct, frozen=True):
    """An executed chat request, ready to be written whole or as a stream."""

    id: str
    created: int
    model: str
    replies: tuple[Reply, ...]
    calls: tuple[list[JsonObject], ...]
    prompt: int
    cached: int
    tier: str = "default"

    @property
    def tokens(self) -> Tokens:
        """What the answer costs."""
        return Tokens(
            input=self.prompt - self.cached,
            cache_read=self.cached,
            output=sum(reply.output for reply in self.replies),
            reasoning=sum(reply.reasoning for reply in self.replies),
        )


def execute(call: Call, chat: Chat, *, use_cache: bool = True) -> Done:
    """Let the model answer. Raises `Problem` when the prompt does not fit."""
    prompt = prompt_tokens(chat.ask)
    if prompt > CONTEXT_WINDOW:
        raise Problem(
            "context_length",
            f"This model's maximum context length is {CONTEXT_WINDOW} tokens. However, your messages resulted in {prompt} tokens. "
            "Please reduce the length of the messages.",
            param="messages",
        )
    replies = tuple(call.reply(chat.ask, index) for index in range(chat.count))
    return Done(
        id=call.world.new_id("chatcmpl-", 29),
        created=int(call.now),
        model=chat.ask.model,
        replies=replies,
        calls=tuple(_wire_calls(call, reply) for reply in replies),
        prompt=prompt,
        cached=cached_tokens(call, chat.ask, prompt) if use_cache else 0,
    )


def _wire_calls(call: Call, reply: Reply) -> list[JsonObject]:
    return [
        {
            "id": call.world.new_id("call_", 24),
            "type": "function",
            "function": {"name": made.name, "arguments": encode_text(made.arguments)},
        }
        for made in reply.calls
    ]


def cached_tokens(call: Call, ask: Ask, prompt: int) -> int:
    """Cached input tokens: the longest known prefix in whole messages, from 1,024 tokens on, in steps of 128."""
    if prompt < MIN_TOKENS:
        return 0
    memory, now = call.world.prefixes, call.now
    cached, size, prefix = 0, 0, ""
    for text in ask.texts:
        prefix += "\x1e" + text
        size += tokens.count(text) + tokens.MESSAGE_OVERHEAD
        if size < MIN_TOKENS:
            continue
        if memory.known(call.account, ask.model, prefix, now):
            cached = size
        else:
            memory.learn(call.account, ask.model, prefix, now)
    return cached // CACHE_STEP * CACHE_STEP


def chat(call: Call) -> Answer:
    """``POST /v1/chat/completions``."""
    wanted = parse_chat(call.json())
    done = execute(call, wanted)
    call.charge(done.model, done.tokens, done.id)
    headers = (("openai-version", "2020-10-01"), ("openai-processing-ms", "1"))
    if wanted.stream:
        events = tuple(stream(done, wanted.include_usage, empty=call.twist == "empty"))
        return Answer(events=events, content_type=SSE_TYPE + "; charset=utf-8", headers=headers)
    return answer_json(completion(done), headers=headers)


def usage(done: Done) -> JsonObject:
    """The usage object; reasoning is part of the completion's tokens."""
    spent = done.tokens
    completion_tokens = spent.output + spent.reasoning
    return {
        "prompt_tokens": done.prompt,
        "completion_tokens": completion_tokens,
        "total_tokens": done.prompt + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": spent.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(done: Done) -> JsonObject:
    """The whole answer as one object."""
    return {
        "id": done.id,
        "object": "chat.completion",
        "created": done.created,
        "model": done.model,
        "choices": [_choice(done, index) for index, reply in enumerate(done.replies) if reply.finish != "empty"],
        "usage": usage(done),
        "service_tier": done.tier,
        "system_fingerprint": "fp_5133b1b0ae",
    }


def _choice(done: Done, index: int) -> JsonObject:
    reply = done.replies[index]
    refused = reply.finish == "refusal"
    message: JsonObject = {"role": "assistant", "content": None if refused or reply.calls else reply.text}
    if reply.calls:
        message["tool_calls"] = done.calls[index]
    message |= {"refusal": reply.text if refused else None, "annotations": []}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": _FINISH[reply.finish]}


def stream(done: Done, include_usage: bool, *, empty: bool) -> Iterator[bytes]:
    """Server-sent events of the answer, ending in ``[DONE]``."""
    for chunk in chunks(done, include_usage, empty=empty):
        chunk["obfuscation"] = "sImUlAtEdPaDdInG"[: len(encode(chunk["choices"])) % 16]
        yield sse(chunk)
    yield DONE


def sse(body: JsonObject) -> bytes:
    """One event without a name."""
    return b"data: " + encode(body) + b"\n\n"


def chunks(done: Done, include_usage: bool, *, empty: bool) -> Iterator[JsonObject]:
    """The chunks of a stream."""
    for index, reply in enumerate(() if empty else done.replies):
        for delta in _deltas(reply, done.calls[index]):
            yield _chunk(done, [_delta_choice(index, delta, None)], include_usage)
        yield _chunk(done, [_delta_choice(index, {}, _FINISH[reply.finish])], include_usage)
    if include_usage:
        yield _chunk(done, [], include_usage, usage(done))


def _delta_choice(index: int, delta: JsonObject, finish: str | None) -> JsonObject:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _deltas(reply: Reply, calls: list[JsonObject]) -> Iterator[JsonObject]:
    yield {"role": "assistant", "content": None if calls else "", "refusal": None}
    field = "refusal" if reply.finish == "refusal" else "content"
    for piece in () if calls else tokens.pieces(reply.text):
        yield {field: piece}
    for index, made in enumerate(calls):
        function = made["function"]
        yield {"tool_calls": [{"index": index, **made, "function": {"name": function["name"], "arguments": ""}}]}
        for piece in tokens.pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _chunk(done: Done, choices: list[JsonObject], include_usage: bool, spent: JsonObject | None = None) -> JsonObject:
    body: JsonObject = {
        "id": done.id,
        "object": "chat.completion.chunk",
        "created": done.created,
        "model": done.model,
        "service_tier": done.tier,
        "system_fingerprint": "fp_5133b1b0ae",
        "choices": choices,
    }
    if include_usage:
        body["usage"] = spent
    return body


def models(call: Call) -> Answer:
    """``GET /v1/models``."""
    data = [{"id": name, "object": "model", "created": 1_750_000_000, "owned_by": "simulator"} for name in MODELS]
    return answer_json({"object": "list", "data": data})


def model(call: Call) -> Answer:
    """``GET /v1/models/{model}``."""
    name = call.params["model"]
    if is_unknown(name):
        raise Problem("model_not_found", f"The model '{name}' does not exist", param="model")
    return answer_json({"id": name, "object": "model", "created": 1_750_000_000, "owned_by": "simulator"})
