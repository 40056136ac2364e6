"""Reading the usual event of a stream in one typed pass: more of a part's text."""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate.wire.json import Json, typed_reader

EVENT = "response.output_text.delta"
"""Name of the event."""


class UsualDelta(msgspec.Struct, gc=False):
    """More text of a part whose place is stated; further keys have no meaning there."""

    type: Literal["response.output_text.delta"]
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[Json] | None = None


read_usual = typed_reader(UsualDelta)
