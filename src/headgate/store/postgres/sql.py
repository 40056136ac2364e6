"""Statements with ``:name`` parameters, as PostgreSQL's driver wants them: one ``%s`` for each place, in order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from headgate.store.connection import Row, Value

_TOKEN = re.compile(
    r"""
      (?P<kept> [eE]'(?:[^'\\]|\\.|'')*'          # a text with escapes
        | '(?:[^']|'')*' | "(?:[^"]|"")*"         # a text, a quoted name
        | --[^\n]* | /\*.*?\*/                    # comments
        | \$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$
        | ::                                      # a cast
      )
    | (?<![:\w]) : (?P<name>[A-Za-z_]\w*)
    | (?P<place>\?)
    """,
    re.VERBOSE | re.DOTALL,
)


class Statement(msgspec.Struct, frozen=True):
    """A statement for the driver, and the names of its parameters, one for each place; none for places marked ``?``."""

    text: bytes
    names: tuple[str, ...]

    def values(self, parameters: Mapping[str, Value] | Row) -> tuple[Value, ...] | None:
        """The values in their places; None for a statement without any. Raises `KeyError` for one that is missing."""
        if isinstance(parameters, tuple):
            return parameters
        return tuple([parameters[name] for name in self.names]) if self.names else None


@lru_cache(maxsize=1024)
def translate(sql: str) -> Statement:
    """The statement as the driver wants it. Each place is a parameter of its own, so that its type is found where it stands."""
    names = tuple(match["name"] for match in _TOKEN.finditer(sql) if match["name"])
    if not names and not any(match["place"] for match in _TOKEN.finditer(sql)):
        return Statement(sql.encode(), ())
    parts: list[str] = []
    end = 0
    for match in _TOKEN.finditer(sql):
        if match["name"] or match["place"]:
            parts += (sql[end : match.start()].replace("%", "%%"), "%s")
            end = match.end()
    parts.append(sql[end:].replace("%", "%%"))
    return Statement("".join(parts).encode(), names)
