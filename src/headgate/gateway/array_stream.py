"""A stream as one JSON array, as Google's wire has it without ``alt=sse``: the same chunks, in brackets instead of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from headgate.serving.response import JSON, Stream
from headgate.wire.sse import SseDecoder

BLANK = b"\n"
"""Sent when there is nothing to say: harmless between any two values."""


class ArrayFrames:
    """Server-sent events in, the elements of an array out."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._lead = b"["

    def feed(self, data: bytes) -> bytes:
        """The elements that `data` completes."""
        out = b""
        for event in self._sse.feed(data):
            out += self._lead + event.data
            self._lead = b",\r\n"
        return out

    def close(self) -> bytes:
        """The end of the array."""
        return b"[]" if self._lead == b"[" else b"]"


async def as_array(stream: Stream) -> Stream:
    """`stream`, whose chunks are server-sent events, as a JSON array. Last words are its last element."""
    frames = ArrayFrames()
    chunks = _elements(stream.chunks, frames)
    await anext(chunks)  # begun, so that closing it closes what it reads from
    last = stream.farewell
    headers = (JSON, *(pair for pair in stream.headers if pair[0] != "content-type"))
    farewell = None if last is None else lambda error: frames.feed(last(error)) + frames.close()
    return msgspec.structs.replace(stream, headers=headers, chunks=chunks, keep_alive=BLANK, farewell=farewell)


async def _elements(events: AsyncGenerator[bytes, None], frames: ArrayFrames) -> AsyncGenerator[bytes, None]:
    """First an empty piece, then the pieces of the array."""
    async with aclosing(events) as pieces:
        yield b""
        async for piece in pieces:
            yield frames.feed(piece)
    yield frames.close()
