"""What faults do to an answer before it is written: to its JSON, its bytes, its events, its encoding."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable

from msgspec.structs import replace

from headgate.errors import WireError
from headgate.sim import event_frames
from headgate.sim.exchange import Answer
from headgate.sim.faults_bytes import Edit, Encoded, Events, Insert, Patch
from headgate.wire.json import Json, JsonObject, decode, encode

_WINDOWS = {"gzip": 31, "deflate": 15}


def latin(text: str) -> bytes:
    """A script's text as bytes, one for each character."""
    return text.encode("latin-1")


def each(answer: Answer, change: Callable[[bytes], bytes]) -> Answer:
    """`answer` with its body, or every event, changed."""
    if answer.events is None:
        return replace(answer, body=change(answer.body))
    return replace(answer, events=tuple(change(event) for event in answer.events))


def patch(answer: Answer, action: Patch) -> Answer:
    """Change the JSON of the body and of every event that has some."""
    steps = action.path.split(".")
    return each(answer, lambda data: _patched(data, steps, action))


def _patched(data: bytes, steps: list[str], action: Patch) -> bytes:
    framed = event_frames.unframe(data)
    if framed is not None:
        headers, payload = framed
        return event_frames.frame(headers, _patched_payload(payload, steps, action))
    start, end = data.find(b"{"), data.rfind(b"}") + 1
    try:
        value = decode(data[start:end]) if start >= 0 else None
    except WireError:
        return data
    if value is None:
        return data
    _change(value, steps, action)
    return data[:start] + encode(value) + data[end:]


def _patched_payload(payload: bytes, steps: list[str], action: Patch) -> bytes:
    """A frame's payload; what it carries in base64 is what is changed."""
    value: JsonObject = decode(payload)
    if isinstance(value.get("bytes"), str):
        inner = decode(b64decode(value["bytes"]))
        _change(inner, steps, action)
        return encode({**value, "bytes": b64encode(encode(inner)).decode()})
    _change(value, steps, action)
    return encode(value)


def _change(value: Json, steps: list[str], action: Patch) -> None:
    """Walk to the path's end in place and change what is there."""
    step, rest = steps[0], steps[1:]
    for key in _keys(value, step, bool(action.add and not rest)):
        if rest:
            _change(value[key], rest, action)
        elif action.remove:
            value.pop(key)
        else:
            value[key] = action.value


def _keys(value: Json, step: str, add: bool) -> list[str | int]:
    """The keys of an object or the indexes of an array that a step of a path names, the last first."""
    if isinstance(value, dict):
        return [*reversed(value)] if step == "*" else [step] if step in value or add else []
    if isinstance(value, list):
        return [*reversed(range(len(value)))] if step == "*" else [int(step)] if step.isdigit() and int(step) < len(value) else []
    return []


def edit(answer: Answer, action: Edit) -> Answer:
    """Replace bytes."""
    return each(answer, lambda data: data.replace(latin(action.old), latin(action.new), action.count or -1))


def events(answer: Answer, action: Events) -> Answer:
    """Drop, repeat or swap events; an answer without any stays as it is."""
    if not answer.events:
        return answer
    made = list(answer.events)
    at = max(action.at + len(made), 0) if action.at < 0 else action.at
    chosen, after = made[at : at + action.count], made[at + action.count :]
    kept = {"drop": after, "repeat": [*chosen, *chosen, *after], "swap": [*after[:1], *chosen, *after[1:]]}
    return replace(answer, events=(*made[:at], *kept[action.act]))


def insert(answer: Answer, action: Insert) -> Answer:
    """Put bytes into a stream as an event of their own."""
    if answer.events is None:
        return answer
    made = list(answer.events)
    made.insert(action.at, latin(action.data) * action.times)
    return replace(answer, events=tuple(made))


def encoded(answer: Answer, action: Encoded) -> Answer:
    """Compress the body, or a stream event by event, and label it."""
    label = action.codec if action.label is None else action.label
    headers = (*answer.headers, ("content-encoding", label)) if label else answer.headers
    pieces = [answer.body] if answer.events is None else list(answer.events)
    pieces = [*pieces, b" " * action.blanks] if action.blanks else pieces
    for _ in range(action.times if action.codec in _WINDOWS else 0):
        pieces = _compressed(pieces, _WINDOWS[action.codec])
    if answer.events is None:
        return replace(answer, body=b"".join(pieces), headers=headers)
    return replace(answer, events=tuple(piece for piece in pieces if piece), headers=headers)


def _compressed(pieces: list[bytes], window: int) -> list[bytes]:
    """The pieces compressed as one stream, flushed after each."""
    packer = zlib.compressobj(wbits=window)
    return [*(packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces), packer.flush()]
