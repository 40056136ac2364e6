"""What stands on each wire, read without the dialects: turns of a request, the words of an answer, and a stream as a plain client joins it.

For tests that must not trust a dialect's own reader. Pieces of a turn are tuples: ("text", words), ("image", data), ("call", id, name,
arguments as JSON), ("result", id, words), ("thinking", words, signature), ("redacted", data) and ("other", JSON).
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headgate.wire.eventstream import FrameDecoder

Piece = tuple[Any, ...]
Turn = tuple[str, list[Piece]]
Wire = dict[str, Any]


# Requests


def _parts(content: Any, read: Callable[[Wire], Piece]) -> list[Piece]:
    if isinstance(content, str):
        return [("text", content)]
    return [read(part) for part in content or ()]


def _joined(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def _chat_part(part: Wire) -> Piece:
    if part["type"] == "text":
        return "text", part["text"]
    return ("image", part["image_url"]["url"]) if part["type"] == "image_url" else ("other", part)


def _chat_turn(message: Wire) -> Turn:
    if message["role"] == "tool":
        return "tool", [("result", message["tool_call_id"], _joined(message["content"]))]
    thoughts = [_claude_part(block) for block in message.get("thinking_blocks", ())]
    calls = [
        ("call", call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls", ())
    ]
    return message["role"], [*thoughts, *_parts(message.get("content"), _chat_part), *calls]


def _chat(payload: Wire) -> list[Turn]:
    return [_chat_turn(message) for message in payload["messages"]]


def _item_part(part: Wire) -> Piece:
    if part["type"] in ("input_text", "output_text"):
        return "text", part["text"]
    return ("image", part["image_url"]) if part["type"] == "input_image" else ("other", part)


def _item(item: Wire) -> Turn:
    kind = item.get("type", "message")
    if kind == "message":
        return item["role"], _parts(item["content"], _item_part)
    if kind == "function_call":
        return "assistant", [("call", item["call_id"], item["name"], json.loads(item["arguments"]))]
    if kind == "function_call_output":
        return "tool", [("result", item["call_id"], _joined(item["output"]))]
    if kind == "reasoning":
        return "assistant", [("thinking", _joined(item["summary"]), item.get("encrypted_content"))]
    return "other", [("other", item)]


def _responses(payload: Wire) -> list[Turn]:
    first = [("system", [("text", payload["instructions"])])] if payload.get("instructions") else []
    items = payload["input"]
    return [*first, *([("user", [("text", items)])] if isinstance(items, str) else [_item(item) for item in items])]


_CLAUDE: dict[str, Callable[[Wire], Piece]] = {
    "text": lambda part: ("text", part["text"]),
    "image": lambda part: ("image", part["source"].get("data") or part["source"].get("url")),
    "tool_use": lambda part: ("call", part["id"], part["name"], part["input"]),
    "tool_result": lambda part: ("result", part["tool_use_id"], _joined(part.get("content"))),
    "thinking": lambda part: ("thinking", part["thinking"], part.get("signature")),
    "redacted_thinking": lambda part: ("redacted", part["data"]),
}


def _claude_part(part: Wire) -> Piece:
    return _CLAUDE.get(part["type"], lambda part: ("other", part))(part)


def _claude(payload: Wire) -> list[Turn]:
    first = [("system", _parts(payload["system"], _claude_part))] if payload.get("system") else []
    return [*first, *((message["role"], _parts(message["content"], _claude_part)) for message in payload["messages"])]


def _google_part(part: Wire) -> Piece:
    if "functionCall" in part:
        call = part["functionCall"]
        return "call", call.get("id"), call["name"], call.get("args", {})
    if "functionResponse" in part:
        answer = part["functionResponse"]
        return "result", answer.get("id"), answer["response"]
    if part.get("thought"):
        return "thinking", part["text"], part.get("thoughtSignature")
    return ("text", part["text"]) if "text" in part else ("image", part["inlineData"]["data"]) if "inlineData" in part else ("other", part)


def _google(payload: Wire) -> list[Turn]:
    system = payload.get("systemInstruction")
    first = [("system", [_google_part(part) for part in system["parts"]])] if system else []
    roles = {"model": "assistant", "user": "user"}
    return [*first, *((roles[turn["role"]], [_google_part(part) for part in turn["parts"]]) for turn in payload["contents"])]


def _ollama_turn(message: Wire) -> Turn:
    if message["role"] == "tool":
        return "tool", [("result", message.get("tool_call_id"), message["content"])]
    thoughts = [("thinking", message["thinking"], None)] if message.get("thinking") else []
    words = [("text", message["content"])] if message["content"] else []
    images = [("image", data) for data in message.get("images", ())]
    calls = [("call", call.get("id"), call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())]
    return message["role"], [*thoughts, *words, *images, *calls]


def _ollama(payload: Wire) -> list[Turn]:
    return [_ollama_turn(message) for message in payload["messages"]]


def _aws_part(part: Wire) -> Piece:
    if "toolUse" in part:
        return "call", part["toolUse"]["toolUseId"], part["toolUse"]["name"], part["toolUse"]["input"]
    if "toolResult" in part:
        said = part["toolResult"]["content"]
        return (
            "result",
            part["toolResult"]["toolUseId"],
            "".join(json.dumps(one["json"]) if "json" in one else one.get("text", "") for one in said),
        )
    if "reasoningContent" in part:
        inner = part["reasoningContent"]
        if "redactedContent" in inner:
            return "redacted", b64decode(inner["redactedContent"]).decode()
        return "thinking", inner["reasoningText"]["text"], inner["reasoningText"].get("signature")
    return ("text", part["text"]) if "text" in part else ("image", part["image"]["source"]["bytes"]) if "image" in part else ("other", part)


def _aws(payload: Wire) -> list[Turn]:
    first = [("system", [_aws_part(part) for part in payload["system"]])] if payload.get("system") else []
    return [*first, *((message["role"], [_aws_part(part) for part in message["content"]]) for message in payload["messages"])]


_TURNS: dict[str, Callable[[Wire], list[Turn]]] = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _claude,
    "bedrock_anthropic": _claude,
    "gemini_generate": _google,
    "ollama_chat": _ollama,
    "bedrock_converse": _aws,
}


def turns(name: str, payload: Wire) -> list[Turn]:
    """The turns of a request in order, the system prompt first where the wire keeps it apart."""
    return _TURNS[name](payload)


def pieces(name: str, payload: Wire, *kinds: str) -> list[Piece]:
    """The pieces of all turns of some kinds, in order."""
    return [piece for _, content in turns(name, payload) for piece in content if piece[0] in kinds]


# Answers


@dataclass
class Told:
    """What an answer says to a client of one wire. `counts` is (input, cached, output) as the wire's own totals; None when not told."""

    text: str = ""
    thinking: str = ""
    calls: list[list[str]] = field(default_factory=list)
    finish: Any = None
    counts: tuple[int, int, int] | None = None
    error: Any = None
    ended: bool = False

    def arguments(self) -> list[Any]:
        """The arguments of the calls, decoded."""
        return [json.loads(call[2]) for call in self.calls]


def _chat_counts(usage: Wire) -> tuple[int, int, int]:
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]


def _responses_counts(usage: Wire) -> tuple[int, int, int]:
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"]


def _claude_counts(usage: Wire) -> tuple[int, int, int]:
    cached = usage["cache_read_input_tokens"]
    return usage["input_tokens"] + cached + usage["cache_creation_input_tokens"], cached, usage["output_tokens"]


def _google_counts(usage: Wire) -> tuple[int, int, int]:
    output = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + output
    return usage["promptTokenCount"], usage.get("cachedContentTokenCount", 0), output


def _ollama_counts(line: Wire) -> tuple[int, int, int]:
    return line["prompt_eval_count"], line.get("prompt_eval_cached_count", 0), line["eval_count"]


def _aws_counts(usage: Wire) -> tuple[int, int, int]:
    given = usage["inputTokens"] + usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"]
    assert usage["totalTokens"] == given + usage["outputTokens"]
    return given, usage["cacheReadInputTokens"], usage["outputTokens"]


def _told_chat(wire: Wire) -> Told:
    choice = wire["choices"][0]
    message = choice["message"]
    calls = [[call["id"], call["function"]["name"], call["function"]["arguments"]] for call in message.get("tool_calls", ())]
    counts = _chat_counts(wire["usage"]) if wire.get("usage") else None
    return Told(message["content"] or "", message.get("reasoning_content", ""), calls, choice["finish_reason"], counts)


def _responses_finish(wire: Wire) -> Any:
    details = wire.get("incomplete_details")
    return (wire["status"], details["reason"]) if details else wire["status"]


def _told_responses(wire: Wire) -> Told:
    told = Told(finish=_responses_finish(wire), counts=_responses_counts(wire["usage"]) if wire.get("usage") else None)
    for item in wire["output"]:
        if item["type"] == "message":
            told.text += "".join(part.get("text", "") for part in item["content"])
        elif item["type"] == "function_call":
            told.calls.append([item["call_id"], item["name"], item["arguments"]])
        elif item["type"] == "reasoning":
            told.thinking += _joined(item["summary"])
    return told


def _told_claude(wire: Wire) -> Told:
    told = Told(finish=wire["stop_reason"], counts=_claude_counts(wire["usage"]))
    for block in wire["content"]:
        if block["type"] == "text":
            told.text += block["text"]
        elif block["type"] == "tool_use":
            told.calls.append([block["id"], block["name"], json.dumps(block["input"])])
        elif block["type"] == "thinking":
            told.thinking += block["thinking"]
    return told


def _take_google(told: Told, wire: Wire) -> None:
    candidate = wire["candidates"][0]
    for part in candidate["content"]["parts"]:
        if "functionCall" in part:
            call = part["functionCall"]
            told.calls.append([call["id"], call["name"], json.dumps(call.get("args", {}))])
        elif part.get("thought"):
            told.thinking += part["text"]
        else:
            told.text += part["text"]
    told.finish = candidate.get("finishReason", told.finish)
    told.ended = told.finish is not None
    if "usageMetadata" in wire:
        told.counts = _google_counts(wire["usageMetadata"])


def _told_google(wire: Wire) -> Told:
    told = Told()
    _take_google(told, wire)
    return told


def _take_ollama(told: Told, line: Wire) -> None:
    message = line["message"]
    told.text += message.get("content", "")
    told.thinking += message.get("thinking", "")
    for call in message.get("tool_calls", ()):
        told.calls.append([call["id"], call["function"]["name"], json.dumps(call["function"]["arguments"])])
    if line["done"]:
        told.ended, told.finish = True, line["done_reason"]
        told.counts = _ollama_counts(line) if "eval_count" in line else None


def _told_ollama(wire: Wire) -> Told:
    told = Told()
    _take_ollama(told, wire)
    return told


def _told_aws(wire: Wire) -> Told:
    told = Told(finish=wire["stopReason"], counts=_aws_counts(wire["usage"]))
    for piece in map(_aws_part, wire["output"]["message"]["content"]):
        if piece[0] == "text":
            told.text += piece[1]
        elif piece[0] == "call":
            told.calls.append([piece[1], piece[2], json.dumps(piece[3])])
        elif piece[0] == "thinking":
            told.thinking += piece[1]
    return told


_TOLD: dict[str, Callable[[Wire], Told]] = {
    "openai_chat": _told_chat,
    "openai_responses": _told_responses,
    "anthropic_messages": _told_claude,
    "bedrock_anthropic": _told_claude,
    "gemini_generate": _told_google,
    "ollama_chat": _told_ollama,
    "bedrock_converse": _told_aws,
}


def told(name: str, body: bytes) -> Told:
    """What a whole answer says."""
    return _TOLD[name](json.loads(body))


# Streams


def events(name: str, data: bytes) -> list[Wire]:
    """The JSON of every event of a stream; the word that ends OpenAI's is {"done": true}, exceptions of AWS are {"exception": name, …}."""
    if name == "ollama_chat":
        return [json.loads(line) for line in data.splitlines() if line]
    if name.startswith("bedrock"):
        frames = FrameDecoder().feed(data)
        return [_framed(frame.text(":exception-type"), frame.text(":event-type"), json.loads(frame.payload)) for frame in frames]
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n") if line.startswith("data: ")]
    return [{"done": True} if line == "[DONE]" else json.loads(line) for line in lines]


def _framed(exception: str | None, kind: str | None, payload: Wire) -> Wire:
    if exception:
        return {"exception": exception, **payload}
    return json.loads(b64decode(payload["bytes"])) if kind == "chunk" else {kind or "": payload}


def _stream_chat(chunks: list[Wire]) -> Told:
    """As clients do it: strings of one call index are added up, whatever they are."""
    told = Told()
    for number, chunk in enumerate(chunks):
        assert not told.ended, "something follows the end"
        if "done" in chunk:
            told.ended = True
        elif "error" in chunk:
            told.error, told.ended = chunk["error"], True
        else:
            _take_chunk(told, chunk, number)
    return told


def _take_chunk(told: Told, chunk: Wire, number: int) -> None:
    if chunk.get("usage"):
        assert chunk["choices"] == [], "usage comes in a chunk of its own"
        told.counts = _chat_counts(chunk["usage"])
    for choice in chunk["choices"]:
        delta = choice["delta"]
        assert ("role" in delta) == (number == 0), "the role comes once, first"
        told.text += delta.get("content") or ""
        told.thinking += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls", ()):
            _take_call(told, call)
        if choice["finish_reason"] is not None:
            assert told.finish is None, "one finish reason"
            told.finish = choice["finish_reason"]


def _take_call(told: Told, call: Wire) -> None:
    """The first delta of a call has id, type and name, no later one has any of them."""
    if call["index"] == len(told.calls):
        assert call["type"] == "function" and call["id"] and call["function"]["name"]
        told.calls.append([call["id"], call["function"]["name"], ""])
    else:
        assert call["index"] < len(told.calls), "indices are dense"
        assert call.keys() == {"index", "function"} and call["function"].keys() == {"arguments"}
    told.calls[call["index"]][2] += call["function"].get("arguments", "")


_SPOKEN = {"response.output_text.delta": "text", "response.reasoning_summary_text.delta": "thinking"}


def _stream_responses(chunks: list[Wire]) -> Told:
    told, items = Told(), {}
    assert [chunk["sequence_number"] for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert not told.ended, "something follows the end"
        kind = chunk["type"]
        if kind == "response.output_item.added":
            items[chunk["output_index"]] = chunk["item"].get("id")
        elif "item_id" in chunk:
            assert chunk["item_id"] == items[chunk["output_index"]], "the ids of items are stable"
        if kind in _SPOKEN:
            setattr(told, _SPOKEN[kind], getattr(told, _SPOKEN[kind]) + chunk["delta"])
        elif kind == "error":
            told.error, told.ended = chunk, True
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            last = _told_responses(chunk["response"])
            assert (last.text, last.thinking) == (told.text, told.thinking), "the terminal event repeats what was said"
            told = last
            told.ended, told.error = True, chunk["response"]["error"]
    return told


def _stream_claude(chunks: list[Wire]) -> Told:
    told, opened, seen = Told(), None, []
    usage: Wire = {}
    for chunk in chunks:
        assert not told.ended, "something follows the end"
        kind = chunk["type"]
        if kind == "message_start":
            usage = dict(chunk["message"]["usage"])
        elif kind == "content_block_start":
            assert opened is None and chunk["index"] == len(seen), "one block is open at a time, numbered from 0"
            opened = chunk["index"]
            block = dict(chunk["content_block"])
            seen.append(block)
            if block["type"] == "tool_use":
                assert block["input"] == {}
                told.calls.append([block["id"], block["name"], ""])
        elif kind == "content_block_delta":
            assert chunk["index"] == opened
            _take_claude(told, seen[-1]["type"], chunk["delta"])
        elif kind == "content_block_stop":
            assert chunk["index"] == opened
            opened = None
        elif kind == "message_delta":
            assert opened is None and told.finish is None
            told.finish, usage = chunk["delta"]["stop_reason"], {**usage, **chunk["usage"]}
            told.counts = _claude_counts(usage)
        elif kind == "message_stop":
            told.ended = True
        elif kind == "error":
            told.error, told.ended = chunk["error"], True
    _check_claude(chunks, told)
    told.calls = [[*call[:2], call[2] or "{}"] for call in told.calls]
    return told


def _check_claude(chunks: list[Wire], told: Told) -> None:
    assert chunks[0]["type"] == ("message_start" if len(chunks) > 1 or not told.error else "error")
    if told.ended and told.error is None:
        assert told.finish is not None


_DELTAS = {"text_delta": ("text", "text"), "thinking_delta": ("thinking", "thinking"), "input_json_delta": ("tool_use", "partial_json")}


def _take_claude(told: Told, block: str, delta: Wire) -> None:
    if delta["type"] == "signature_delta":
        assert block == "thinking"
        return
    kind, key = _DELTAS[delta["type"]]
    assert kind == block
    if kind == "tool_use":
        told.calls[-1][2] += delta[key]
    else:
        setattr(told, kind, getattr(told, kind) + delta[key])


def _stream_google(chunks: list[Wire]) -> Told:
    told = Told()
    for chunk in chunks:
        assert told.error is None, "something follows an error"
        if "error" in chunk:
            told.error, told.ended = chunk["error"], True
        else:
            _take_google(told, chunk)
    return told


def _stream_ollama(chunks: list[Wire]) -> Told:
    told = Told()
    for chunk in chunks:
        assert not told.ended, "something follows the end"
        if "error" in chunk:
            told.error, told.ended = chunk["error"], True
        else:
            _take_ollama(told, chunk)
    return told


def _stream_aws(chunks: list[Wire]) -> Told:
    told, stopped = Told(), False
    for chunk in chunks:
        assert told.error is None, "something follows an error"
        ((kind, inner),) = chunk.items() if "exception" not in chunk else (("exception", chunk),)
        if kind == "exception":
            told.error, told.ended = inner, True
        elif kind == "messageStop":
            told.finish, stopped = inner["stopReason"], True
        elif kind == "metadata":
            assert stopped
            told.ended, told.counts = True, _aws_counts(inner["usage"])
        elif kind == "contentBlockStart":
            told.calls.append([inner["start"]["toolUse"]["toolUseId"], inner["start"]["toolUse"]["name"], ""])
        elif kind == "contentBlockDelta":
            _take_aws(told, inner["delta"])
    told.calls = [[*call[:2], call[2] or "{}"] for call in told.calls]
    return told


def _take_aws(told: Told, delta: Wire) -> None:
    if "text" in delta:
        told.text += delta["text"]
    elif "toolUse" in delta:
        told.calls[-1][2] += delta["toolUse"]["input"]
    else:
        told.thinking += delta["reasoningContent"].get("text", "")


_STREAMS: dict[str, Callable[[list[Wire]], Told]] = {
    "openai_chat": _stream_chat,
    "openai_responses": _stream_responses,
    "anthropic_messages": _stream_claude,
    "bedrock_anthropic": _stream_claude,
    "gemini_generate": _stream_google,
    "ollama_chat": _stream_ollama,
    "bedrock_converse": _stream_aws,
}


def streamed(name: str, data: bytes) -> Told:
    """What a stream says to a plain client. Fails (`AssertionError`) when the stream is not well formed."""
    chunks = events(name, data)
    if name == "bedrock_anthropic" and chunks and "exception" in chunks[-1]:
        told = _stream_claude(chunks[:-1]) if chunks[:-1] else Told()
        told.error, told.ended = chunks[-1], True
        return told
    return _STREAMS[name](chunks)
