"""What providers that speak OpenAI's chat share: OpenAI's answer is made first, then given the provider's own look."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from headgate.sim import openai_wire, tokens
from headgate.sim.exchange import SSE_TYPE, Answer, Headers, Problem, Request, answer_json
from headgate.sim.openai_wire import DONE, Done
from headgate.sim.responder import Reply
from headgate.sim.world import Call, Handler, World
from headgate.wire.json import JsonObject


class Flavour(msgspec.Struct, frozen=True):
    """How a provider's chat differs. `usage` is its usage object, `completion` reworks the whole answer, `chunks` the stream's.

    `reasoning` is the field that carries the thinking, "" for none.
    """

    usage: Callable[[Done], JsonObject]
    completion: Callable[[Call, Done, JsonObject], JsonObject]
    chunks: Callable[[Call, Done, Iterator[JsonObject]], Iterator[JsonObject]]
    new_id: Callable[[World], str]
    reasoning: str = ""
    headers: Headers = ()


def chat_as(flavour: Flavour) -> Handler:
    """``POST …/chat/completions`` in a provider's flavour."""

    def chat(call: Call) -> Answer:
        wanted = openai_wire.parse_chat(call.json())
        done = msgspec.structs.replace(openai_wire.execute(call, wanted), id=flavour.new_id(call.world))
        call.charge(done.model, done.tokens, done.id)
        if wanted.stream:
            made = _chunks(flavour, done, wanted.include_usage, empty=call.twist == "empty")
            chunks = flavour.chunks(call, done, made)
            events = (*map(openai_wire.sse, chunks), DONE)
            return Answer(events=events, content_type=SSE_TYPE, headers=flavour.headers)
        return answer_json(whole(flavour, call, done), headers=flavour.headers)

    return chat


def whole(flavour: Flavour, call: Call, done: Done) -> JsonObject:
    """The whole answer of an executed request."""
    return flavour.completion(call, done, _whole(flavour, done))


def row_of(flavour: Flavour, call: Call, body: JsonObject) -> tuple[Done, JsonObject]:
    """One row of a batch, answered as a request of its own would be but for the cache."""
    done = msgspec.structs.replace(openai_wire.execute(call, openai_wire.parse_chat(body), use_cache=False), id=flavour.new_id(call.world))
    return done, whole(flavour, call, done)


def _whole(flavour: Flavour, done: Done) -> JsonObject:
    body = openai_wire.completion(done)
    for choice in body["choices"]:
        thinking = done.replies[choice["index"]].thinking
        if flavour.reasoning and thinking:
            choice["message"][flavour.reasoning] = thinking
    return {**body, "usage": flavour.usage(done)}


def _chunks(flavour: Flavour, done: Done, include: bool, *, empty: bool) -> Iterator[JsonObject]:
    """OpenAI's chunks, with the thinking right after each choice's first."""
    for chunk in openai_wire.chunks(done, include, empty=empty):
        if chunk.get("usage") is not None:
            chunk["usage"] = flavour.usage(done)
        yield chunk
        thinking = _thinking(flavour, done, chunk)
        for piece in tokens.pieces(thinking):
            choice = {**chunk["choices"][0], "delta": {flavour.reasoning: piece}}
            yield {**chunk, "choices": [choice]}


def _thinking(flavour: Flavour, done: Done, chunk: JsonObject) -> str:
    """The thinking that follows a chunk: the choice's own after its first chunk, else none."""
    opens = flavour.reasoning and chunk["choices"] and "role" in chunk["choices"][0]["delta"]
    return done.replies[chunk["choices"][0]["index"]].thinking if opens else ""


def with_whole_calls(done: Done, made: Iterator[JsonObject]) -> Iterator[JsonObject]:
    """A stream whose tool calls come in one delta each, arguments and all."""
    for chunk in made:
        choice = chunk["choices"][0] if chunk["choices"] else {}
        calls = choice.get("delta", {}).get("tool_calls")
        if not calls:
            yield chunk
        elif "id" in calls[0]:
            at = calls[0]["index"]
            whole = {"index": at, **done.calls[choice["index"]][at]}
            yield {**chunk, "choices": [{**choice, "delta": {"tool_calls": [whole]}}]}


def without(body: JsonObject, *names: str) -> JsonObject:
    """`body` less some fields."""
    return {key: value for key, value in body.items() if key not in names}


def each_choice(body: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """`body` with every choice changed."""
    return {**body, "choices": [change(choice) for choice in body["choices"]]}


def plain_usage(done: Done) -> JsonObject:
    """Three counts; reasoning is part of the completion's tokens."""
    made = done.tokens.output + done.tokens.reasoning
    return {"prompt_tokens": done.prompt, "completion_tokens": made, "total_tokens": done.prompt + made}


def reply_of(done: Done, choice: JsonObject) -> Reply:
    """The reply behind a choice."""
    return done.replies[choice["index"]]


def bearer(request: Request, hint: str) -> str:
    """The account of a request: its bearer key, which must start with ``sim-``; `hint` is the refusal's text."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.startswith("sim-"):
        raise Problem("auth", hint)
    return key


def retry_headers(problem: Problem) -> Headers:
    """Retry-After, when the problem says so."""
    return () if problem.retry_after is None else (("retry-after", f"{problem.retry_after:g}"),)
