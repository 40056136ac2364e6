"""OpenAI's legacy text completions as api.openai.com speaks them (recorded traffic; OpenAI API reference)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headgate.sim import tokens
from headgate.sim.bill import Tokens
from headgate.sim.exchange import SSE_TYPE, Answer, Problem, answer_json
from headgate.sim.openai_embeddings import MAX_INPUTS, model_of
from headgate.sim.openai_wire import CONTEXT_WINDOW, DONE, MAX_CHOICES, sse
from headgate.sim.responder import Ask, Reply
from headgate.sim.world import Call
from headgate.wire.json import Json, JsonObject

DEFAULT_LIMIT = 16
_FINISH = {"length": "length"}


class Wanted(msgspec.Struct, frozen=True):
    """A validated request: one ask for each prompt."""

    model: str
    asks: tuple[Ask, ...]
    count: int
    echo: bool
    stream: bool
    include_usage: bool


class Text(msgspec.Struct, frozen=True):
    """One choice: its place, its prompt when it is echoed, and what the model wrote."""

    index: int
    echoed: str
    reply: Reply


def parse(body: JsonObject) -> Wanted:
    """Read a completions request. Raises `Problem` for what the provider refuses."""
    model = model_of(body)
    limit = body.get("max_tokens")
    if limit is not None and (type(limit) is not int or limit < 0):
        message = f"Invalid 'max_tokens': integer below minimum value. Expected a value >= 0, but got {limit} instead."
        raise Problem("bad_request", message, code="integer_below_min_value", param="max_tokens")
    count = body.get("n") or 1
    if type(count) is not int or not 1 <= count <= MAX_CHOICES:
        raise Problem("bad_request", f"Invalid 'n': must be between 1 and {MAX_CHOICES}.", code="invalid_value", param="n")
    stops = body.get("stop")
    kept = (stops,) if isinstance(stops, str) else tuple(str(item) for item in stops or ())
    room = DEFAULT_LIMIT if limit is None else limit
    options = body.get("stream_options")
    return Wanted(
        model=model,
        asks=tuple(Ask(model=model, texts=(text,), last_user=text, max_tokens=room, stops=kept) for text in _prompts(body.get("prompt"))),
        count=count,
        echo=body.get("echo") is True,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _prompts(value: Json) -> list[str]:
    """A string, strings, tokens, or lists of tokens; the model's end-of-text token when there is none."""
    if value is None:
        return ["<|endoftext|>"]
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        value = [value]
    if not isinstance(value, list) or not value or len(value) > MAX_INPUTS:
        raise Problem("bad_request", f"Invalid 'prompt': must be a string or 1 to {MAX_INPUTS} prompts.", code="", param="prompt")
    return [item if isinstance(item, str) else " ".join(f"t{token}" for token in item or ()) for item in value]


def _texts(call: Call, wanted: Wanted) -> Iterator[Text]:
    for number, ask in enumerate(wanted.asks):
        for index in range(wanted.count):
            yield Text(number * wanted.count + index, ask.texts[0] if wanted.echo else "", call.reply(ask, index))


def completions(call: Call) -> Answer:
    """``POST /v1/completions``."""
    wanted = parse(call.json())
    prompt = sum(tokens.count(ask.texts[0]) for ask in wanted.asks)
    if prompt > CONTEXT_WINDOW:
        raise Problem("context_length")
    texts = list(_texts(call, wanted))
    spent = Tokens(input=prompt, output=sum(text.reply.output for text in texts))
    head: JsonObject = {
        "id": call.world.new_id("cmpl-", 29),
        "object": "text_completion",
        "created": int(call.now),
        "model": wanted.model,
    }
    call.charge(wanted.model, spent, head["id"])
    usage = {"prompt_tokens": spent.input, "completion_tokens": spent.output, "total_tokens": spent.input + spent.output}
    headers = (("openai-model", wanted.model), ("openai-version", "2020-10-01"))
    if wanted.stream:
        return Answer(events=tuple(_stream(head, texts, usage if wanted.include_usage else None)), content_type=SSE_TYPE, headers=headers)
    choices = [_choice(text, text.echoed + text.reply.text, _finish(text)) for text in texts if text.reply.finish != "empty"]
    return answer_json({**head, "choices": choices, "usage": usage}, headers=headers)


def _finish(text: Text) -> str:
    return _FINISH.get(text.reply.finish, "stop")


def _choice(text: Text, piece: str, finish: str | None) -> JsonObject:
    return {"text": piece, "index": text.index, "logprobs": None, "finish_reason": finish}


def _stream(head: JsonObject, texts: list[Text], usage: JsonObject | None) -> Iterator[bytes]:
    """Events of the answer; with usage asked for, every chunk says ``usage: null`` but a last one without choices."""
    blank: JsonObject = {} if usage is None else {"usage": None}
    for text in texts:
        if text.reply.finish == "empty":
            continue
        pieces = tokens.pieces(text.echoed + text.reply.text) or [""]
        for number, piece in enumerate(pieces, 1):
            finish = _finish(text) if number == len(pieces) else None
            yield sse({**head, "choices": [_choice(text, piece, finish)], **blank})
    if usage is not None:
        yield sse({**head, "choices": [], "usage": usage})
    yield DONE
