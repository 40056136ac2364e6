"""Reading the usual event of a stream in one typed pass: more text, more thinking, or more of a tool's input."""

from __future__ import annotations

import msgspec

from headgate.wire.json import typed_reader


class TextGrows(msgspec.Struct, tag_field="type", tag="text_delta", gc=False):
    """More text."""

    words: str = msgspec.field(name="text")


class ThinkingGrows(msgspec.Struct, tag_field="type", tag="thinking_delta", gc=False):
    """More of a thought."""

    words: str = msgspec.field(name="thinking")


class InputGrows(msgspec.Struct, tag_field="type", tag="input_json_delta", gc=False):
    """More of the JSON a tool is called with."""

    words: str = msgspec.field(name="partial_json")


class UsualDelta(msgspec.Struct, tag_field="type", tag="content_block_delta", gc=False):
    """A `content_block_delta` of these kinds; further keys have no meaning there."""

    index: int
    delta: TextGrows | ThinkingGrows | InputGrows


EVENT = "content_block_delta"
"""Name of the event."""

read_usual = typed_reader(UsualDelta)
