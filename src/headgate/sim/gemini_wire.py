"""Gemini generateContent as generativelanguage.googleapis.com speaks it (recorded traffic; Gemini API reference).

Field names are accepted in camelCase and snake_case, as the real service does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from headgate.sim import tokens
from headgate.sim.bill import Tokens
from headgate.sim.dice import BASE62, token
from headgate.sim.exchange import SSE_TYPE, Answer, Headers, Problem, Request, answer_json, need_list, need_object
from headgate.sim.models import MODELS, is_unknown
from headgate.sim.responder import Ask, Reply, Tool, prompt_tokens
from headgate.sim.world import Call
from headgate.wire.json import Json, JsonObject, encode, encode_text

JSON_UTF8 = "application/json; charset=UTF-8"
CONTEXT_WINDOW = 1_048_576
MAX_CANDIDATES = 8
_FINISH = {"stop": "STOP", "stop_sequence": "STOP", "length": "MAX_TOKENS", "tool": "STOP", "refusal": "SAFETY", "empty": "OTHER"}
_HEADERS: Headers = (("vary", "Origin, X-Origin, Referer"), ("server-timing", "gfet4t7; dur=1"))
_EXHAUSTED = "Resource exhausted. Please try again later."
_QUOTA = "You exceeded your current quota, please check your plan and billing details."

ERRORS: dict[str, tuple[int, str, str]] = {
    "auth": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "permission": (403, "PERMISSION_DENIED", "The caller does not have permission"),
    "not_found": (404, "NOT_FOUND", "Requested entity was not found."),
    "model_not_found": (404, "NOT_FOUND", "The model is not found for API version v1beta, or is not supported for generateContent."),
    "rate_limit": (429, "RESOURCE_EXHAUSTED", _EXHAUSTED),
    "quota": (429, "RESOURCE_EXHAUSTED", _QUOTA),
    "server": (500, "INTERNAL", "An internal error has occurred. Please retry or report."),
    "unavailable": (503, "UNAVAILABLE", "The service is currently unavailable."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "timeout": (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
    "context_length": (
        400,
        "INVALID_ARGUMENT",
        f"The input token count ({CONTEXT_WINDOW + 1}) exceeds the maximum number of tokens allowed ({CONTEXT_WINDOW}).",
    ),
    "bad_request": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    "conflict": (400, "FAILED_PRECONDITION", "The request conflicts with the current state."),
}
"""Error name -> status, canonical status, default message."""

RPC_CODES = {
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}
"""Canonical status -> number, as google.rpc.Status carries it."""

_RPC = "type.googleapis.com/google.rpc."


def authenticate(request: Request) -> str:
    """The account of a request: x-goog-api-key, or ``?key=``. Keys of the simulator start with ``sim-``."""
    key = request.headers.get("x-goog-api-key") or request.query.get("key", "")
    if not key:
        raise Problem(
            "permission",
            "Method doesn't allow unregistered callers (callers without established identity). "
            "Please use API Key or other form of API consumer identity to call this API.",
        )
    if not key.startswith("sim-"):
        raise Problem("auth")
    return key


def error_body(problem: Problem) -> JsonObject:
    """``{"error": {code, message, status, details?}}``."""
    code, status, message = ERRORS[problem.name]
    error: JsonObject = {"code": problem.status or code, "message": problem.message or message, "status": status}
    details = _details(problem, str(error["message"]))
    if details:
        error["details"] = details
    return {"error": error}


def _details(problem: Problem, message: str) -> list[JsonObject]:
    if problem.name == "auth":
        info = {"reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com"}}
        return [{"@type": _RPC + "ErrorInfo", **info}, {"@type": _RPC + "LocalizedMessage", "locale": "en-US", "message": message}]
    if problem.name == "quota":
        violation = {"quotaMetric": "generativelanguage.googleapis.com/generate_requests", "quotaId": "GenerateRequestsPerDayPerProject"}
        return [{"@type": _RPC + "QuotaFailure", "violations": [violation]}]
    if problem.retry_after is not None:
        return [{"@type": _RPC + "RetryInfo", "retryDelay": f"{problem.retry_after:g}s"}]
    return []


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """A problem in Gemini's shape; on a stream it is plain JSON under the stream's content type."""
    streams = request.path.endswith(":streamGenerateContent") and request.query.get("alt") == "sse"
    status = problem.status or ERRORS[problem.name][0]
    body = encode(error_body(problem))
    return Answer(status=status, body=body, content_type=SSE_TYPE if streams else JSON_UTF8, headers=_HEADERS)


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error after a stream has begun: plain JSON, without ``data:``."""
    return encode(error_body(problem)) + b"\r\n"


def field(body: JsonObject, name: str) -> Json:
    """A field by its camelCase name or its snake_case twin; None when absent."""
    if name in body:
        return body[name]
    return body.get(re.sub(r"([A-Z])", r"_\1", name).lower())


class Wanted(msgspec.Struct, frozen=True):
    """A validated request."""

    ask: Ask
    count: int
    show_thoughts: bool


def parse_generate(model: str, body: JsonObject) -> Wanted:
    """Read a generateContent request as strictly as the provider does where clients notice."""
    if is_unknown(model):
        raise Problem(
            "model_not_found",
            f"models/{model} is not found for API version v1beta, or is not supported for generateContent. "
            "Call ListModels to see the list of available models and their supported methods.",
        )
    contents = [need_object(content, f"contents[{index}]") for index, content in enumerate(need_list(body.get("contents"), "contents"))]
    if not contents:
        raise Problem("bad_request", "* GenerateContentRequest.contents: contents is not specified")
    for index, content in enumerate(contents):
        if content.get("role") not in (None, "user", "model", "function"):
            raise Problem("bad_request", "Please use a valid role: user, model.")
        if not content.get("parts"):
            raise Problem("bad_request", f"* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty.")
    config = need_object(field(body, "generationConfig") or {}, "generationConfig")
    thinking = need_object(field(config, "thinkingConfig") or {}, "thinkingConfig")
    count = field(config, "candidateCount") or 1
    if not isinstance(count, int) or not 1 <= count <= MAX_CANDIDATES:
        raise Problem(
            "bad_request", f"* GenerateContentRequest.generation_config.candidate_count: must be in the range [1, {MAX_CANDIDATES}]."
        )
    return Wanted(_ask(model, body, contents, config, thinking), count, bool(field(thinking, "includeThoughts")))


def _ask(model: str, body: JsonObject, contents: list[JsonObject], config: JsonObject, thinking: JsonObject) -> Ask:
    system = field(body, "systemInstruction")
    texts = [flat_text(content) for content in contents]
    schema = field(config, "responseJsonSchema") or field(config, "responseSchema")
    forced, no_tools = _tool_choice(field(body, "toolConfig"))
    limit = field(config, "maxOutputTokens")
    return Ask(
        model=model,
        texts=(*((flat_text(system),) if isinstance(system, dict) else ()), *texts),
        last_user=next((_text(content) for content in reversed(contents) if content.get("role", "user") == "user"), ""),
        results=tuple(_results(contents[-1])),
        schema=schema if isinstance(schema, dict) else None,
        json_object=schema is None and field(config, "responseMimeType") == "application/json",
        tools=tuple(_tools(body.get("tools"))),
        forced=forced,
        no_tools=no_tools,
        max_tokens=limit if isinstance(limit, int) else None,
        stops=tuple(str(item) for item in field(config, "stopSequences") or ()),
        thinks=_thinks(thinking),
        images=sum(_is_image(part) for content in contents for part in _parts(content)),
    )


def _thinks(thinking: JsonObject) -> bool:
    budget = field(thinking, "thinkingBudget")
    asked = bool(field(thinking, "includeThoughts")) or field(thinking, "thinkingLevel") is not None
    return budget != 0 and (asked or budget is not None)


def _parts(content: JsonObject) -> list[JsonObject]:
    parts = content.get("parts")
    listed = parts if isinstance(parts, list) else [parts]
    return [part for part in listed if isinstance(part, dict)]


def _text(content: JsonObject) -> str:
    return "\n".join(str(part["text"]) for part in _parts(content) if "text" in part)


def flat_text(content: JsonObject) -> str:
    """All text of a content, calls and responses included."""
    found = []
    for part in _parts(content):
        made = field(part, "functionCall") or field(part, "functionResponse")
        found.append(str(part["text"]) if "text" in part else encode_text(made) if made else "")
    return "\n".join(found)


def _results(content: JsonObject) -> Iterator[str]:
    for part in _parts(content):
        response = field(part, "functionResponse")
        if isinstance(response, dict):
            yield encode_text(response.get("response"))


def _is_image(part: JsonObject) -> bool:
    return field(part, "inlineData") is not None or field(part, "fileData") is not None


def _tools(value: Json) -> Iterator[Tool]:
    for tool in value if isinstance(value, list) else ():
        for function in field(tool, "functionDeclarations") or () if isinstance(tool, dict) else ():
            schema = field(function, "parametersJsonSchema") or function.get("parameters") or {"type": "object"}
            yield Tool(str(function.get("name")), schema)


def _tool_choice(value: Json) -> tuple[str | None, bool]:
    config = field(value, "functionCallingConfig") if isinstance(value, dict) else None
    mode = config.get("mode") if isinstance(config, dict) else None
    if isinstance(config, dict) and mode == "ANY":
        allowed = field(config, "allowedFunctionNames") or [""]
        return str(allowed[0]), False
    return None, mode == "NONE"


class Generated(msgspec.Struct, frozen=True):
    """An executed request, ready to be written whole or as a stream."""

    id: str
    model: str
    replies: tuple[Reply, ...]
    call_ids: tuple[tuple[str, ...], ...]
    prompt: int
    show_thoughts: bool
    tier: str

    @property
    def tokens(self) -> Tokens:
        """What the answer costs."""
        return Tokens(
            input=self.prompt,
            output=sum(reply.output for reply in self.replies),
            reasoning=sum(reply.reasoning for reply in self.replies),
        )


def execute(call: Call, wanted: Wanted, *, tier: str = "standard") -> Generated:
    """Let the model answer. Raises `Problem` when the prompt does not fit."""
    prompt = prompt_tokens(wanted.ask)
    if prompt > CONTEXT_WINDOW:
        raise Problem(
            "context_length", f"The input token count ({prompt}) exceeds the maximum number of tokens allowed ({CONTEXT_WINDOW})."
        )
    replies = tuple(call.reply(wanted.ask, index) for index in range(wanted.count))
    return Generated(
        id=call.world.new_id("", 23),
        model=wanted.ask.model,
        replies=replies,
        call_ids=tuple(tuple(call.world.new_id("", 8).lower() for _ in reply.calls) for reply in replies),
        prompt=prompt,
        show_thoughts=wanted.show_thoughts,
        tier=tier,
    )


def generate(call: Call) -> Answer:
    """``POST /v1beta/models/{model}:generateContent``."""
    made = execute(call, parse_generate(call.params["model"], call.json()))
    charge(call, made)
    return answer_json(response(made), content_type=JSON_UTF8, headers=_HEADERS)


def stream_generate(call: Call) -> Answer:
    """``POST /v1beta/models/{model}:streamGenerateContent``: CRLF events with ``?alt=sse``, else one JSON array."""
    made = execute(call, parse_generate(call.params["model"], call.json()))
    charge(call, made)
    return streamed(call, tuple(chunked(made)), _HEADERS)


def streamed(call: Call, chunks: tuple[JsonObject, ...], headers: Headers) -> Answer:
    """Chunks as CRLF events with ``?alt=sse``, else as the items of one JSON array."""
    if call.request.query.get("alt") == "sse":
        events = tuple(b"data: " + encode(chunk) + b"\r\n\r\n" for chunk in chunks)
        return Answer(events=events, content_type=SSE_TYPE, headers=headers)
    parts = [(b"[" if index == 0 else b",\r\n") + encode(chunk) for index, chunk in enumerate(chunks)]
    return Answer(events=(*parts, b"\n]"), content_type=JSON_UTF8, headers=headers)


def charge(call: Call, made: Generated) -> None:
    """Put an answer on the bill, under the id that its body tells."""
    call.request_id = call.entry.request_id = made.id
    call.charge(made.model, made.tokens, made.id)


def _blocked(made: Generated) -> JsonObject | None:
    """A blocked or empty prompt has no candidates at all."""
    if all(reply.finish == "empty" for reply in made.replies):
        return {"promptFeedback": {"blockReason": "OTHER"}}
    return None


def response(made: Generated) -> JsonObject:
    """The whole answer as one object."""
    tail = {"usageMetadata": usage(made, made.tokens), "modelVersion": made.model, "responseId": made.id}
    blocked = _blocked(made)
    if blocked is not None:
        return {**blocked, **tail}
    return {"candidates": [_candidate(made, index, reply) for index, reply in enumerate(made.replies)], **tail}


def _candidate(made: Generated, index: int, reply: Reply) -> JsonObject:
    candidate: JsonObject = {}
    if reply.finish != "refusal":
        candidate["content"] = {"parts": list(_reply_parts(made, index, reply)), "role": "model"}
    return {**candidate, "finishReason": _FINISH[reply.finish], "index": index, **_remark(reply)}


def _remark(reply: Reply) -> JsonObject:
    return {"finishMessage": "Model generated function call(s)."} if reply.calls else {}


def _reply_parts(made: Generated, index: int, reply: Reply) -> Iterator[JsonObject]:
    if made.show_thoughts and reply.thinking:
        yield {"text": reply.thinking, "thought": True}
    if reply.text or not reply.calls:
        yield {"text": reply.text}
    yield from _call_parts(made, index, reply)


def _call_parts(made: Generated, index: int, reply: Reply) -> Iterator[JsonObject]:
    for name, call in zip(made.call_ids[index], reply.calls, strict=True):
        part: JsonObject = {"functionCall": {"name": call.name, "args": call.arguments, "id": name}}
        if reply.thinking:
            part["thoughtSignature"] = token(BASE62, 80, "signature", reply.thinking)
        yield part


def usage(made: Generated, spent: Tokens) -> JsonObject:
    """The usage object for what was produced so far; zero counts are left out, as the service leaves them out."""
    body: JsonObject = {"promptTokenCount": made.prompt}
    if spent.output:
        body["candidatesTokenCount"] = spent.output
    body |= {
        "totalTokenCount": made.prompt + spent.output + spent.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": made.prompt}],
    }
    if spent.reasoning:
        body["thoughtsTokenCount"] = spent.reasoning
    return {**body, "serviceTier": made.tier}


def chunked(made: Generated) -> Iterator[JsonObject]:
    """The chunks of a stream; usage accumulates, the finish reason comes with a candidate's last piece."""
    blocked = _blocked(made)
    if blocked is not None:
        yield response(made)
        return
    output = reasoning = 0
    for index, reply in enumerate(made.replies):
        pieces = list(_pieces(made, index, reply))
        before = output
        for number, part in enumerate(pieces, 1):
            last = number == len(pieces)
            reasoning += reply.reasoning if number == 1 else 0
            output = before + (reply.output if last else reply.output * number // len(pieces))
            candidate: JsonObject = {} if part is None else {"content": {"parts": [part], "role": "model"}}
            if last:
                candidate["finishReason"] = _FINISH[reply.finish]
            yield {
                "candidates": [{**candidate, "index": index, **(_remark(reply) if last else {})}],
                "usageMetadata": usage(made, Tokens(input=made.prompt, output=output, reasoning=reasoning)),
                "modelVersion": made.model,
                "responseId": made.id,
            }


def _pieces(made: Generated, index: int, reply: Reply) -> Iterator[JsonObject | None]:
    if reply.finish == "refusal":
        yield None
        return
    if made.show_thoughts and reply.thinking:
        yield {"text": reply.thinking, "thought": True}
    texts = tokens.pieces(reply.text, 24) or ([] if reply.calls else [""])
    yield from ({"text": piece} for piece in texts)
    yield from _call_parts(made, index, reply)


def count_tokens(call: Call) -> Answer:
    """``POST /v1beta/models/{model}:countTokens``."""
    body = call.json()
    nested = field(body, "generateContentRequest")
    total = prompt_tokens(parse_generate(call.params["model"], nested if isinstance(nested, dict) else body).ask)
    details = [{"modality": "TEXT", "tokenCount": total}]
    return answer_json({"totalTokens": total, "promptTokensDetails": details}, content_type=JSON_UTF8, headers=_HEADERS)


def _model_info(name: str) -> JsonObject:
    return {
        "name": f"models/{name}",
        "displayName": name.replace("-", " ").title(),
        "version": "001",
        "inputTokenLimit": CONTEXT_WINDOW,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "batchGenerateContent", "embedContent"],
    }


def models(call: Call) -> Answer:
    """``GET /v1beta/models``."""
    return answer_json({"models": [_model_info(name) for name in MODELS]}, content_type=JSON_UTF8)


def model(call: Call) -> Answer:
    """``GET /v1beta/models/{model}``."""
    name = call.params["model"]
    if is_unknown(name):
        raise Problem("model_not_found", f"models/{name} is not found for API version v1beta.")
    return answer_json(_model_info(name), content_type=JSON_UTF8)
