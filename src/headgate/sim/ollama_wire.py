"""Ollama's native API: reading requests, and what its context window does to them (recorded traffic; Ollama API reference, issue 17427).

A prompt longer than ``options.num_ctx`` loses its oldest messages, and when the last one alone is still too long, its middle: then half
the window and two tokens are left. Nothing in the answer says so but ``prompt_eval_count``.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headgate.sim import tokens
from headgate.sim.exchange import Answer, Problem, Request, answer_json, need_list, need_object
from headgate.sim.models import is_unknown
from headgate.sim.responder import Ask, Tool, prompt_tokens
from headgate.wire.json import Json, JsonObject, encode, encode_text

DEFAULT_WINDOW = 4096
KEPT_AT_START = 5
LATEST = ":latest"
_TOO_LONG = "the input length exceeds the context length"

OLLAMA_ERRORS: dict[str, tuple[int, str]] = {
    "auth": (401, "unauthorized"),
    "permission": (403, "forbidden"),
    "not_found": (404, "404 page not found"),
    "model_not_found": (404, "model not found"),
    "rate_limit": (429, "too many requests"),
    "quota": (402, "you have reached your usage limit"),
    "server": (500, "llama runner process has terminated: exit status 2"),
    "unavailable": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "overloaded": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "context_length": (400, _TOO_LONG),
    "bad_request": (400, "invalid request"),
    "too_large": (413, "request body too large"),
    "timeout": (504, "timed out waiting for llama runner to start"),
    "conflict": (409, "conflict"),
}
"""Error name -> status, message."""


def authenticate(request: Request) -> str:
    """The account of a request: its bearer key where a proxy wants one, else ``local``. Ollama itself asks for none."""
    return request.headers.get("authorization", "").removeprefix("Bearer ") or "local"


def _message(problem: Problem) -> str:
    return problem.message or OLLAMA_ERRORS[problem.name][1]


def refuse(problem: Problem, request_id: str, request: Request) -> Answer:
    """``{"error": text}``; below ``/v1`` the error object of OpenAI."""
    status = problem.status or OLLAMA_ERRORS[problem.name][0]
    error: Json = _message(problem)
    if request.path.startswith("/ollama/v1/"):
        error = {"message": error, "type": "api_error", "param": None, "code": None}
    headers = () if problem.retry_after is None else (("retry-after", f"{problem.retry_after:g}"),)
    return answer_json({"error": error}, status=status, content_type="application/json; charset=utf-8", headers=headers)


def stream_error(problem: Problem, request_id: str) -> bytes:
    """An error as a line of its own."""
    return encode({"error": _message(problem)}) + b"\n"


class Wanted(msgspec.Struct, frozen=True):
    """A validated request. `named` is the model as it was asked for, `prompt` counts the tokens left for it, `keep` keeps it loaded."""

    named: str
    ask: Ask
    prompt: int
    stream: bool
    keep: bool


def model_of(body: JsonObject) -> str:
    """The model asked for, without the tag that is the usual one. Raises `Problem` when it is missing or unknown."""
    model = body.get("model") or body.get("name")
    if not isinstance(model, str):
        raise Problem("bad_request", "model is required")
    if is_unknown(model):
        raise Problem("model_not_found", f"model '{model}' not found")
    return model.removesuffix(LATEST)


def options_of(body: JsonObject) -> JsonObject:
    """The options object; empty when absent."""
    return need_object(body.get("options") or {}, "options")


def window_of(body: JsonObject) -> int:
    """The context window in tokens."""
    size = options_of(body).get("num_ctx") or DEFAULT_WINDOW
    if not isinstance(size, int) or size < 1:
        raise Problem("bad_request", 'option "num_ctx" must be of type integer')
    return size


def parse_chat(body: JsonObject) -> Wanted:
    """Read a chat request and fit it into its window."""
    model = model_of(body)
    messages = [
        need_object(message, f"messages[{index}]") for index, message in enumerate(need_list(body.get("messages") or [], "messages"))
    ]
    texts = [_flat(message) for message in messages]
    roles = [str(message.get("role")) for message in messages]
    users = [text for text, role in zip(texts, roles, strict=True) if role == "user"]
    ask = Ask(
        model=model,
        texts=tuple(texts),
        last_user=users[-1] if users else "",
        results=_results(messages),
        tools=tuple(_tools(body.get("tools"))),
        images=sum(len(message.get("images") or ()) for message in messages),
    )
    return _wanted(body, ask, roles)


def parse_generate(body: JsonObject) -> Wanted:
    """Read a generate request and fit it into its window; a context of earlier answers counts, but is not repeated."""
    model = model_of(body)
    prompt, system = str(body.get("prompt") or ""), str(body.get("system") or "")
    earlier = "    " * len(body.get("context") or ())
    texts = tuple(text for text in (system, earlier, prompt) if text)
    roles = ["system"] * bool(system) + ["assistant"] * bool(earlier) + ["user"] * bool(prompt)
    ask = Ask(model=model, texts=texts, last_user=prompt, images=len(body.get("images") or ()))
    return _wanted(body, ask, roles)


def _wanted(body: JsonObject, ask: Ask, roles: list[str]) -> Wanted:
    options = options_of(body)
    limit = options.get("num_predict")
    stops = options.get("stop") or ()
    schema = body.get("format")
    think = body.get("think")
    ask = msgspec.structs.replace(
        ask,
        schema=schema if isinstance(schema, dict) else None,
        json_object=schema == "json",
        max_tokens=limit if isinstance(limit, int) and limit > 0 else None,
        stops=(stops,) if isinstance(stops, str) else tuple(str(stop) for stop in stops),
        thinks=think is True or (isinstance(think, str) and think != ""),
    )
    window = window_of(body)
    if body.get("truncate") is False and prompt_tokens(ask) > window:
        raise Problem("context_length")
    fitted, prompt = fit(ask, roles, window)
    return Wanted(str(body.get("model")), fitted, prompt, body.get("stream") is not False, body.get("keep_alive") not in (0, "0", "0s"))


def fit(ask: Ask, roles: list[str], window: int) -> tuple[Ask, int]:
    """`ask` as much of it as fits `window` tokens, and how many that are."""
    pairs = list(zip(roles, ask.texts, strict=True))
    while prompt_tokens(ask) > window:
        oldest = next((at for at, (role, _) in enumerate(pairs[:-1]) if role != "system"), None)
        if oldest is None:
            break
        del pairs[oldest]
        ask = msgspec.structs.replace(ask, texts=tuple(text for _, text in pairs))
    total = prompt_tokens(ask)
    if total <= window or not pairs:
        return ask, total
    left = window // 2 + 2
    last = shortened(pairs[-1][1], left)
    return msgspec.structs.replace(ask, texts=(last,), last_user=last if pairs[-1][0] == "user" else ask.last_user), left


def shortened(text: str, left: int) -> str:
    """`text` cut to `left` tokens: its first few and its last."""
    raw = text.encode()
    head, tail = min(KEPT_AT_START, left) * tokens.BYTES_PER_TOKEN, max(left - KEPT_AT_START, 0) * tokens.BYTES_PER_TOKEN
    if len(raw) <= head + tail:
        return text
    return raw[:head].decode(errors="ignore") + raw[len(raw) - tail :].decode(errors="ignore")


def _flat(message: JsonObject) -> str:
    calls = message.get("tool_calls")
    return str(message.get("content") or "") + (encode_text(calls) if calls else "")


def _results(messages: list[JsonObject]) -> tuple[str, ...]:
    """Tool results at the end of the talk."""
    found: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        found.append(str(message.get("content") or ""))
    return tuple(reversed(found))


def _tools(value: Json) -> Iterator[Tool]:
    for tool in value or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            yield Tool(str(function.get("name")), function.get("parameters") or {"type": "object"})
