"""Passing server-sent events on as bytes: whole events only, so that nothing is ever glued to half of one."""

from __future__ import annotations

import re
from collections.abc import Callable

from headgate.errors import WireError
from headgate.wire.json import decode
from headgate.wire.sse import SseDecoder

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
LONGEST_HELD = 1 << 20


class EventRelay:
    """Bytes in, whole events out, byte for byte, without those that `unwanted` picks out. An event over a megabyte is not waited for."""

    def __init__(self, unwanted: Callable[[bytes], bool] | None = None) -> None:
        self._unwanted = unwanted
        self._held = b""
        self._torn = False

    @property
    def gap(self) -> bytes:
        """What must come before an event of our own: nothing, or the end of the event that was not waited for."""
        return b"\n\n" if self._torn else b""

    @property
    def pending(self) -> bool:
        """Half an event is held."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes."""
        held = self._held + data
        cut = max((at + len(end) for end in _ENDS if (at := held.rfind(end)) >= 0), default=0)
        if cut:
            self._torn = False
        elif len(held) > LONGEST_HELD:
            cut, self._torn = len(held), True
        self._held = held[cut:]
        return self._wanted(held[:cut])

    def rest(self) -> bytes:
        """What is left at the end of the stream: an event whose blank line never came."""
        held, self._held = self._held, b""
        return self._wanted(held)

    def _wanted(self, data: bytes) -> bytes:
        if self._unwanted is None or not data:
            return data
        kept, start = [], 0
        for match in _END.finditer(data):
            event, start = data[start : match.end()], match.end()
            kept.append(b"" if self._unwanted(event) else event)
        kept.append(b"" if start == len(data) or self._unwanted(data[start:]) else data[start:])
        return b"".join(kept)


def is_usage_only(event: bytes) -> bool:
    """Whether an event of the chat completions wire has nothing but usage: what ``include_usage`` adds (OpenAI API reference, "Chat").

    What cannot be read (it is no JSON, or too long for an event) is not."""
    if b'"usage"' not in event or b'"choices"' not in event:
        return False
    decoder = SseDecoder()
    try:
        return any(_usage_only(found.data) for found in (*decoder.feed(event), *decoder.close()))
    except WireError:
        return False


def _usage_only(data: bytes) -> bool:
    chunk = decode(data)
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
