"""What the renderers of one body share: whose extras may be written, and the list of what could not be."""

from __future__ import annotations

import msgspec

from headgate.dialects.base import Note
from headgate.domain.capabilities import Capabilities
from headgate.wire.json import JsonObject


class Writer(msgspec.Struct):
    """One rendering. `same` says the value came from this dialect; `answer` that it is a response and nothing may be refused."""

    capabilities: Capabilities
    same: bool
    answer: bool = False
    notes: list[Note] = []

    def drop(self, field: str, reason: str) -> None:
        """Report a field that is not sent."""
        self.notes.append(Note(field, "dropped", reason))

    def approximate(self, field: str, reason: str) -> None:
        """Report a field that is sent as something near to it."""
        self.notes.append(Note(field, "approximated", reason))

    def kept(self, extra: JsonObject | None, field: str) -> JsonObject | None:
        """`extra` when it is ours to write; otherwise each of its keys is reported as dropped."""
        if extra is None or self.same:
            return extra
        for key in extra:
            self.drop(f"{field}.{key}" if field else key, "unknown to the Gemini API")
        return None
