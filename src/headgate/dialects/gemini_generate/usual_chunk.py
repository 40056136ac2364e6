"""Reading the usual chunk of a stream in one typed pass: one candidate with one part of text or thought, and usage.

Records of what may not be passed over forbid keys they do not name; a chunk that says anything else gives None and is read key by key.
"""

from __future__ import annotations

import msgspec

from headgate.wire.json import JsonObject, typed_reader


class UsualPart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Words, spoken or thought."""

    text: str
    thought: bool = False


class _Content(msgspec.Struct, gc=False):
    parts: list[UsualPart]


class _Candidate(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: _Content
    index: int = 0


class UsualChunk(msgspec.Struct, gc=False, rename="camel"):
    """A chunk; other keys have no meaning after the first one."""

    candidates: list[_Candidate]
    usage_metadata: JsonObject | None = None
    error: None = None

    @property
    def only(self) -> tuple[int, UsualPart] | None:
        """The one part and its candidate's place; None when there are more or fewer."""
        if len(self.candidates) != 1:
            return None
        candidate = self.candidates[0]
        parts = candidate.content.parts
        return (candidate.index, parts[0]) if len(parts) == 1 else None


read_usual = typed_reader(UsualChunk)
