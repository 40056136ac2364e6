"""What a rendering may keep, and the report of what it could not."""

from __future__ import annotations

from headgate.dialects.base import Note
from headgate.dialects.openai_chat.words import NAME
from headgate.domain.capabilities import Capabilities
from headgate.wire.json import JsonObject


class Report:
    """Collects notes. `own` is True when the request came from the wire `name`, so that extra keys and spellings are its own."""

    __slots__ = ("capabilities", "dialect", "notes", "own")

    def __init__(self, dialect: str, capabilities: Capabilities, name: str = NAME) -> None:
        self.dialect = dialect
        self.own = dialect == name
        self.capabilities = capabilities
        self.notes: list[Note] = []

    def drop(self, field: str, reason: str) -> None:
        """Report a field that was left out."""
        self.notes.append(Note(field, "dropped", reason))

    def change(self, field: str, reason: str) -> None:
        """Report a field that was sent in another form."""
        self.notes.append(Note(field, "approximated", reason))

    def drop_extra(self, extra: JsonObject | None, where: str) -> None:
        """Report every further key of another wire. Nothing to do for our own."""
        if extra and not self.own:
            source = self.dialect or "no dialect"
            for key in extra:
                self.drop(f"{where}{key}", f"a key of {source}, which this wire does not have")
