"""What a client of each wire sends back: the answer it was given, whole or joined from a stream, and the results of the tools it asked for.

Written as the official clients behave, without the dialects: an assistant message is put back as it came.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Wire = dict[str, Any]
Events = list[Wire]


# A stream as one answer


def _join_chat(chunks: Events) -> Wire:
    message: Wire = {"role": "assistant", "content": ""}
    for chunk in chunks:
        for choice in chunk.get("choices", ()):
            _join_delta(message, choice["delta"])
    return {"choices": [{"index": 0, "message": message}]}


def _join_delta(message: Wire, delta: Wire) -> None:
    for key, value in delta.items():
        if key == "role" or value is None:
            continue
        if key == "tool_calls":
            for call in value:
                _join_call(message.setdefault("tool_calls", []), call)
        elif key == "thinking_blocks":
            for block in value:
                _join_thought(message.setdefault("thinking_blocks", []), block)
        elif isinstance(value, str):
            message[key] = message.get(key, "") + value
        else:
            message[key] = value


def _join_call(calls: Events, call: Wire) -> None:
    if call["index"] == len(calls):
        calls.append({key: value for key, value in call.items() if key != "index"})
        return
    known = calls[call["index"]]
    for key, value in call.items():
        if key == "function":
            known["function"]["arguments"] += value["arguments"]
        elif key != "index":
            known[key] = value


def _join_thought(blocks: Events, block: Wire) -> None:
    """A block grows until it is signed; a redacted one is whole."""
    last = blocks[-1] if blocks else None
    if last is None or last["type"] != "thinking" or block["type"] != "thinking" or "signature" in last:
        blocks.append(dict(block))
        return
    last.update({**block, "thinking": last["thinking"] + block["thinking"]})


def _join_responses(chunks: Events) -> Wire:
    found: Wire = chunks[-1]["response"]
    return found


_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature", "input_json_delta": "input"}


def _join_claude(chunks: Events) -> Wire:
    blocks: Events = []
    for chunk in chunks:
        if chunk["type"] == "content_block_start":
            blocks.append({**chunk["content_block"], **({"input": ""} if chunk["content_block"]["type"] == "tool_use" else {})})
        elif chunk["type"] == "content_block_delta":
            delta = chunk["delta"]
            key = _GROWING[delta["type"]]
            blocks[-1][key] = blocks[-1].get(key, "") + next(value for name, value in delta.items() if name != "type")
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"] or "{}")
    return {"content": blocks}


def _join_google(chunks: Events) -> Wire:
    """Parts of all chunks in order; texts of one kind grow, as in Google's chats."""
    parts: Events = []
    for chunk in chunks:
        for part in chunk["candidates"][0]["content"]["parts"]:
            grows = parts and "text" in part and "text" in parts[-1] and part.get("thought") == parts[-1].get("thought")
            if grows and "thoughtSignature" not in parts[-1]:
                parts[-1] = {**parts[-1], **part, "text": parts[-1]["text"] + part["text"]}
            else:
                parts.append(part)
    return {"candidates": [{"content": {"role": "model", "parts": parts}}]}


def _join_ollama(lines: Events) -> Wire:
    message: Wire = {"role": "assistant", "content": ""}
    for line in lines:
        for key, value in line["message"].items():
            if key != "role":
                message[key] = message[key] + value if key in message else value
    return {"message": message}


def _join_aws(chunks: Events) -> Wire:
    blocks: dict[int, Wire] = {}
    for chunk in chunks:
        ((kind, inner),) = chunk.items()
        if kind == "contentBlockStart":
            blocks[inner["contentBlockIndex"]] = {"toolUse": {**inner["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            _join_block(blocks.setdefault(inner["contentBlockIndex"], {}), inner["delta"])
    content = [blocks[place] for place in sorted(blocks)]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return {"output": {"message": {"role": "assistant", "content": content}}}


def _join_block(block: Wire, delta: Wire) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "redactedContent" in delta["reasoningContent"]:
        block["reasoningContent"] = delta["reasoningContent"]
    else:
        text = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
        text["text"] += delta["reasoningContent"].get("text", "")
        if "signature" in delta["reasoningContent"]:
            text["signature"] = delta["reasoningContent"]["signature"]


_JOIN: dict[str, Callable[[Events], Wire]] = {
    "openai_chat": _join_chat,
    "openai_responses": _join_responses,
    "anthropic_messages": _join_claude,
    "bedrock_anthropic": _join_claude,
    "gemini_generate": _join_google,
    "ollama_chat": _join_ollama,
    "bedrock_converse": _join_aws,
}


def joined(name: str, chunks: Events) -> Wire:
    """The events of a stream (see `reading_wires.events`) as one answer, as far as a client keeps it."""
    return _JOIN[name](chunks)


# The turn after


def _again_chat(answer: Wire) -> Events:
    message = answer["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in message.get("tool_calls", ())]
    return [message, *results]


def _again_responses(answer: Wire) -> Events:
    calls = [item for item in answer["output"] if item["type"] == "function_call"]
    return [*answer["output"], *({"type": "function_call_output", "call_id": call["call_id"], "output": "rain"} for call in calls)]


def _again_claude(answer: Wire) -> Events:
    calls = [block for block in answer["content"] if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "rain"} for call in calls]
    return [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": results}]


def _again_google(answer: Wire) -> Events:
    content = answer["candidates"][0]["content"]
    calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
    results = [{"functionResponse": {"id": call["id"], "name": call["name"], "response": {"result": "rain"}}} for call in calls]
    return [content, {"role": "user", "parts": results}]


def _again_ollama(answer: Wire) -> Events:
    message = answer["message"]
    calls = message.get("tool_calls", ())
    results = [{"role": "tool", "tool_name": call["function"]["name"], "tool_call_id": call["id"], "content": "rain"} for call in calls]
    return [message, *results]


def _again_aws(answer: Wire) -> Events:
    message = answer["output"]["message"]
    calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    results = [{"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "rain"}]}} for call in calls]
    return [message, {"role": "user", "content": results}]


_AGAIN: dict[str, tuple[str, Callable[[Wire], Events]]] = {
    "openai_chat": ("messages", _again_chat),
    "openai_responses": ("input", _again_responses),
    "anthropic_messages": ("messages", _again_claude),
    "bedrock_anthropic": ("messages", _again_claude),
    "gemini_generate": ("contents", _again_google),
    "ollama_chat": ("messages", _again_ollama),
    "bedrock_converse": ("messages", _again_aws),
}

TURNS = {name: key for name, (key, _) in _AGAIN.items()}
"""The key of a request's turns on each wire."""


def again(name: str, payload: Wire, answer: Wire) -> Wire:
    """The request after `payload`: the answer put back as it came, and "rain" as the result of every call in it."""
    key, write = _AGAIN[name]
    return {**payload, key: [*payload[key], *write(answer)]}
