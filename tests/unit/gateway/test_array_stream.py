"""A stream as one JSON array."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import HeadgateError
from headgate.gateway.array_stream import ArrayFrames, as_array
from headgate.serving.response import Stream
from headgate.wire.sse import sse_event

EVENTS = b"".join(sse_event(json.dumps({"n": n}).encode()) for n in range(3))


@given(st.lists(st.integers(0, len(EVENTS)), max_size=4))
def test_any_split_gives_the_same_array(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(EVENTS)]
    frames = ArrayFrames()
    data = b"".join(frames.feed(EVENTS[one:other]) for one, other in pairwise(places)) + frames.close()
    assert json.loads(data) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_pings_are_nothing_and_no_events_are_an_empty_array() -> None:
    frames = ArrayFrames()
    assert frames.feed(b": ping\n\n") + frames.close() == b"[]"


class Source:
    """Chunks that say when they are closed."""

    def __init__(self) -> None:
        self.closed = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b""
            yield EVENTS
            yield b""
        finally:
            self.closed = True


def test_closing_before_the_first_piece_closes_what_is_read_from() -> None:
    async def run() -> bool:
        source = Source()
        chunks = source.chunks()
        await anext(chunks)
        made = await as_array(Stream(200, (("content-type", "text/event-stream"),), chunks))
        assert dict(made.headers)["content-type"] == "application/json"
        await made.chunks.aclose()
        return source.closed

    assert asyncio.run(run())


def test_last_words_are_the_last_element() -> None:
    async def run() -> bytes:
        source = Source()
        last = sse_event(b'{"error":{}}')
        made = await as_array(Stream(200, (), source.chunks(), farewell=lambda error: last))
        await anext(made.chunks)
        data = await anext(made.chunks)
        await made.chunks.aclose()
        assert made.farewell is not None
        return data + made.farewell(HeadgateError("over"))

    assert json.loads(asyncio.run(run())) == [{"n": 0}, {"n": 1}, {"n": 2}, {"error": {}}]
