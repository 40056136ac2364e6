"""Reading the usual event of a stream in one typed pass: more of a block's text."""

from __future__ import annotations

import msgspec

from headgate.wire.json import JsonObject, typed_reader

EVENT = "contentBlockDelta"
"""Name of the event."""


class UsualDelta(msgspec.Struct, gc=False, rename="camel"):
    """A delta; further keys beside it have no meaning."""

    content_block_index: int
    delta: JsonObject

    @property
    def words(self) -> str | None:
        """The text of a delta that is nothing else."""
        words = self.delta.get("text") if len(self.delta) == 1 else None
        return words if isinstance(words, str) else None


read_usual = typed_reader(UsualDelta)
