"""Values on their way to and from PostgreSQL, so that they are what SQLite takes and gives."""

from __future__ import annotations

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.types.numeric import Int8Dumper

REPLACEMENT = "\ufffd"


class Text(Dumper):
    """Text, its type found by the server. What PostgreSQL cannot hold, NUL and halves of surrogate pairs, is replaced by U+FFFD (B6)."""

    def dump(self, obj: str) -> bytes:
        """UTF-8 without NUL."""
        if "\0" in obj:
            obj = obj.replace("\0", REPLACEMENT)
        try:
            return obj.encode()
        except UnicodeEncodeError:
            return obj.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class Flag(Dumper):
    """A truth value as 0 or 1, which is what our columns hold."""

    oid = psycopg.adapters.types["int8"].oid

    def dump(self, obj: bool) -> bytes:
        """The digit."""
        return b"1" if obj else b"0"


class Truth(Loader):
    """A truth value as 0 or 1."""

    def load(self, data: Buffer) -> int:
        """1 for t."""
        return int(bytes(data) == b"t")


class Exact(Loader):
    """A number of any length, which sums of integers are: an int, or a float when it has decimals."""

    def load(self, data: Buffer) -> int | float:
        """The number."""
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdecimal() else float(text)


def adapt(connection: psycopg.Connection) -> None:
    """Make `connection` take and give values as above. Integers always go as 64 bits, so that one statement is prepared once."""
    adapters = connection.adapters
    adapters.register_dumper(str, Text)
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_dumper(bool, Flag)
    adapters.register_loader("bool", Truth)
    adapters.register_loader("numeric", Exact)
