"""Listening to a stream whose bytes go by: text of the only choice is gathered in one typed pass, all else is left to the decoder.

What the records here name may be in a chunk that is passed over; a chunk that says more, in particular usage, an end or an error, is none
of them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate.dialects.base import FoldTap, StreamDecoder, StreamTap
from headgate.dialects.openai_chat.stream import Decoder
from headgate.dialects.openai_chat.stream_choice import TEXT
from headgate.domain.events import Delta
from headgate.wire.sse import MAX_EVENT


class _Words(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: str
    role: str = "assistant"
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    reasoning: None = None
    reasoning_content: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Words
    index: Literal[0] = 0
    finish_reason: None = None
    usage: None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: tuple[_Choice]
    usage: None = None
    error: None = None
    x_groq: None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Tap(FoldTap):
    """The tap of one streamed answer."""

    def __init__(self, decoder: Decoder, name: str) -> None:
        super().__init__(decoder, name)
        self._chunks = decoder
        self._words: list[str] | None = None

    @property
    def complete(self) -> bool:
        """See `FoldTap`. While a text goes on it is not over."""
        return self._words is None and self._chunks.complete

    def feed(self, data: bytes) -> None:
        """Hear these bytes. Raises `WireError` for a chunk that is no JSON."""
        words, line = self._words, data[6:-2]
        if words is None or data[:6] != b"data: " or data[-2:] != b"\n\n" or 13 in line or len(line) > MAX_EVENT:
            self._decoded(data)
            return
        if 10 in line:
            self._several(data)
            return
        try:
            chunk = _decode(line)
            if not line.isascii():
                line.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._decoded(data)
        else:
            words.append(chunk.choices[0].delta.content)

    def _several(self, data: bytes) -> None:
        """Hear a read of several chunks one by one."""
        chunks = data[:-2].split(b"\n\n")
        if len(chunks) == 1:
            self._decoded(data)
            return
        for chunk in chunks:
            self.feed(chunk + b"\n\n")

    def _decoded(self, data: bytes) -> None:
        """Decode these bytes. Once they end in more of a text, the text may go on without."""
        self._words = None
        events = self._chunks.feed(data)
        self._fold.add_all(events)
        last = events[-1] if events else None
        goes_on = isinstance(last, Delta) and last.block == TEXT and last.choice == 0 and self._chunks.steady
        if goes_on:
            self._words = self._fold.growing(TEXT)


def stream_tap(decoder: StreamDecoder, name: str) -> StreamTap:
    """The tap for a fresh decoder: the quick one for this dialect's own, the general one for any other."""
    return Tap(decoder, name) if isinstance(decoder, Decoder) else FoldTap(decoder, name)
