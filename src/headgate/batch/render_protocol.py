"""What the render pool and its worker processes say to each other: length-prefixed MessagePack frames on the worker's pipes."""

from __future__ import annotations

import msgspec

HEADER = 4
"""Bytes of the big-endian length before each frame."""
MAX_FRAME = 1 << 30


class Setup(msgspec.Struct, frozen=True):
    """First frame to a worker: templates by file name, the file of each step, and the bounds of one render."""

    templates: dict[str, str]
    template_of: dict[str, str]
    seconds: float
    memory: int
    output: int


class Job(msgspec.Struct, frozen=True):
    """Render `step` once for each context (an encoded mapping). `each`: answer every one as soon as it is done."""

    step: str
    contexts: list[msgspec.Raw]
    each: bool = False


class Rendered(msgspec.Struct, frozen=True, array_like=True):
    """One outcome: `text`, or the `kind` and `message` of a failure."""

    text: str | None
    kind: str = ""
    message: str = ""


class Results(msgspec.Struct, frozen=True):
    """Outcomes in the order of the contexts; `ready` alone answers a `Setup`."""

    outcomes: list[Rendered] = []
    ready: bool = False


_encoder = msgspec.msgpack.Encoder()
encode_context = _encoder.encode
decode_results = msgspec.msgpack.Decoder(Results).decode
decode_setup = msgspec.msgpack.Decoder(Setup).decode
decode_job = msgspec.msgpack.Decoder(Job).decode
decode_context = msgspec.msgpack.Decoder(dict[str, object]).decode


def frame(message: Setup | Job | Results) -> bytes:
    """The bytes of one message, length first."""
    body = _encoder.encode(message)
    return len(body).to_bytes(HEADER, "big") + body
