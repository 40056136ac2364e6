"""OpenAI Responses: the answer as one object, and the events of its stream (recorded traffic; OpenAI API reference)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from headgate.sim import tokens
from headgate.sim.bill import Tokens
from headgate.sim.dice import BASE62, token
from headgate.sim.exchange import Problem
from headgate.sim.openai_wire import ERRORS
from headgate.sim.responder import Reply
from headgate.sim.responses_wire import Wanted
from headgate.wire.json import JsonObject, encode, encode_text

PADDING = "sImUlAtEdPaDdInG"
Shape: TypeAlias = Callable[["Said", JsonObject], JsonObject]
Part: TypeAlias = tuple[str, JsonObject]


class Said(msgspec.Struct, frozen=True):
    """An executed request. `items` are the output items, `shape` gives the response object a provider's own look.

    `padded` says whether deltas carry padding against guesses at their length.
    """

    id: str
    created: int
    wanted: Wanted
    reply: Reply
    items: tuple[JsonObject, ...]
    tokens: Tokens
    previous: str | None
    shape: Shape
    padded: bool = True

    @property
    def cut(self) -> bool:
        """Whether the answer stopped at its limit."""
        return self.reply.finish == "length"


def output_items(wanted: Wanted, reply: Reply, new_id: Callable[[str], str]) -> Iterator[JsonObject]:
    """What the model made, as items: reasoning first, then calls or a message."""
    if reply.thinking:
        summary = [{"type": "summary_text", "text": reply.thinking}] if wanted.summary else []
        item: JsonObject = {"id": new_id("rs_"), "type": "reasoning", "summary": summary}
        if wanted.encrypted:
            item["encrypted_content"] = "gAAAAA" + token(BASE62, 122, "encrypted", reply.thinking)
        yield item
    for made in reply.calls:
        yield {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "completed",
            "arguments": encode_text(made.arguments),
            "call_id": new_id("call_"),
            "name": made.name,
        }
    if reply.text:
        yield _message(new_id("msg_"), reply)


def _message(name: str, reply: Reply) -> JsonObject:
    status = "incomplete" if reply.finish == "length" else "completed"
    return {"id": name, "type": "message", "status": status, "content": [_text_part(reply)], "role": "assistant"}


def _text_part(reply: Reply) -> JsonObject:
    if reply.finish == "refusal":
        return {"type": "refusal", "refusal": reply.text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": reply.text}


def usage(spent: Tokens) -> JsonObject:
    """The usage object; reasoning is part of the output's tokens."""
    prompt, output = spent.input + spent.cache_read, spent.output + spent.reasoning
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": spent.cache_read, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": spent.reasoning},
        "total_tokens": prompt + output,
    }


def whole(said: Said) -> JsonObject:
    """The finished answer as one object."""
    status = "incomplete" if said.cut else "completed"
    return response(said, status, list(said.items), usage(said.tokens))


def response(said: Said, status: str, output: list[JsonObject], spent: JsonObject | None, error: JsonObject | None = None) -> JsonObject:
    """The response object in a given state."""
    body = said.wanted.body
    reasoning = body.get("reasoning") or {}
    text = body.get("text") or {}
    made: JsonObject = {
        "id": said.id,
        "object": "response",
        "created_at": said.created,
        "status": status,
        "background": False,
        "error": error,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": said.wanted.ask.model,
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": said.previous,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": None,
        "service_tier": "auto" if spent is None else "default",
        "store": said.wanted.stored,
        "temperature": body.get("temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity", "medium")},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation") or "disabled",
        "usage": spent,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }
    return said.shape(said, made)


def events(said: Said) -> Iterator[bytes]:
    """The whole stream; there is no ``[DONE]``."""
    final = whole(said)
    parts = [("response.created", _begun(said)), ("response.in_progress", _begun(said)), *_items(said)]
    for number, (kind, fields) in enumerate([*parts, (f"response.{final['status']}", {"response": final})]):
        padding = {"obfuscation": PADDING[: 16 - len(fields["delta"]) % 16]} if said.padded and "delta" in fields else {}
        yield frame(kind, number, {**fields, **padding})


def _begun(said: Said) -> JsonObject:
    return {"response": response(said, "in_progress", [], None)}


def frame(kind: str, number: int, fields: JsonObject) -> bytes:
    """One event with its sequence number."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, "sequence_number": number, **fields}))


def failure(said: Said, problem: Problem, sent: int) -> tuple[bytes, ...]:
    """An error after `sent` events: an ``error`` event, then ``response.failed``."""
    _, kind, code, message = ERRORS[problem.name]
    told: JsonObject = {"code": code or kind, "message": problem.message or message}
    failed = response(said, "failed", [], None, told)
    return (
        frame("error", sent, {"error": {"type": kind, **told, "param": None}}),
        frame("response.failed", sent + 1, {"response": failed}),
    )


def _items(said: Said) -> Iterator[Part]:
    for index, item in enumerate(said.items):
        place = {"output_index": index}
        opened, parts = _OPENINGS[item["type"]](item)
        yield "response.output_item.added", {**place, "item": opened}
        for kind, fields in parts:
            yield f"response.{kind}", {"item_id": item["id"], **place, **fields}
        yield "response.output_item.done", {**place, "item": item}


def _deltas(kind: str, text: str, place: JsonObject, tail: JsonObject) -> Iterator[Part]:
    for piece in tokens.pieces(text):
        yield kind, {**place, "delta": piece, **tail}


def _reasoning_parts(item: JsonObject) -> Iterator[Part]:
    for index, part in enumerate(item["summary"]):
        place = {"summary_index": index}
        yield "reasoning_summary_part.added", {**place, "part": {**part, "text": ""}}
        yield from _deltas("reasoning_summary_text.delta", part["text"], place, {})
        yield "reasoning_summary_text.done", {**place, "text": part["text"]}
        yield "reasoning_summary_part.done", {**place, "part": part}


def _message_parts(item: JsonObject) -> Iterator[Part]:
    for index, part in enumerate(item["content"]):
        place = {"content_index": index}
        field = "refusal" if part["type"] == "refusal" else "text"
        kind = "refusal" if field == "refusal" else "output_text"
        tail: JsonObject = {} if field == "refusal" else {"logprobs": []}
        yield "content_part.added", {**place, "part": {**part, field: ""}}
        yield from _deltas(f"{kind}.delta", part[field], place, tail)
        yield f"{kind}.done", {**place, field: part[field], **tail}
        yield "content_part.done", {**place, "part": part}


def _call_parts(item: JsonObject) -> Iterator[Part]:
    yield from _deltas("function_call_arguments.delta", item["arguments"], {}, {})
    yield "function_call_arguments.done", {"arguments": item["arguments"]}


def _open_reasoning(item: JsonObject) -> tuple[JsonObject, Iterator[Part]]:
    return {**item, "summary": []}, _reasoning_parts(item)


def _open_message(item: JsonObject) -> tuple[JsonObject, Iterator[Part]]:
    return {**item, "status": "in_progress", "content": []}, _message_parts(item)


def _open_call(item: JsonObject) -> tuple[JsonObject, Iterator[Part]]:
    return {**item, "status": "in_progress", "arguments": ""}, _call_parts(item)


_OPENINGS = {"reasoning": _open_reasoning, "message": _open_message, "function_call": _open_call}
