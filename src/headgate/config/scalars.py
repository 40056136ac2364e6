"""The kinds of single values in the sections of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import urlsplit

from headgate.config.secret import Secret
from headgate.config.shapes import One, articled
from headgate.config.tree import Kind
from headgate.domain.cost import NANO

_TEXT: frozenset[Kind] = frozenset({"str", "int", "float"})
_WORDS: frozenset[Kind] = frozenset({"str"})
_SIZE = re.compile(r"([0-9]{1,12})(KiB|MiB|GiB)?")
_UNITS = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
AMOUNT_PATTERN = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_DIGITS = re.compile(r"[0-9]{1,15}")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,12})?")
MANY = 1_000_000_000
SHORTEST_SECRET = 16


def text(words: str = "text", pattern: str = r"[^\x00-\x1f\x7f]{1,1000}") -> One:
    """A text that matches `pattern` whole. A number written without quotes is taken as it was written."""

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(articled(words))
        return value

    return One(words=words, parse=parse, kinds=_TEXT, json={"type": ["string", "number"], "pattern": f"^(?:{pattern})$"})


def choice(values: tuple[str, ...], others: Mapping[str, str] | None = None) -> One:
    """One of some words. `others` are further spellings; "true" and "false" among them are YAML's."""
    known = {**dict.fromkeys(values), **(others or {})}
    switches = [word == "true" for word in known if word in {"true", "false"}]

    def parse(value: str) -> str:
        if value not in known:
            raise ValueError(f"one of {', '.join(values)}")
        return known[value] or value

    kinds: frozenset[Kind] = _WORDS | {"bool"} if switches else _WORDS
    words = [word for word in known if word not in {"true", "false"}]
    return One(words=" · ".join(values), parse=parse, kinds=kinds, json={"enum": [*words, *switches]})


def whole(low: int = 1, high: int = MANY) -> One:
    """A whole number from `low` to `high`."""
    words = f"whole number from {low:,}" + (f" to {high:,}" if high != MANY else "")

    def parse(value: str) -> int:
        if not _DIGITS.fullmatch(value) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low:,} to {high:,}")
        return int(value)

    return One(words=words, parse=parse, kinds=frozenset({"int"}), json={"type": "integer", "minimum": low, "maximum": high})


def number(low: float, high: float, words: str, *, above: bool = False) -> One:
    """A number from `low` (or just above it) to `high`."""

    def parse(value: str) -> float:
        found = float(value) if _NUMBER.fullmatch(value) else low - 1
        if not (low < found if above else low <= found) or found > high:
            raise ValueError(f"a number {'above' if above else 'from'} {low:g} {'and at most' if above else 'to'} {high:g}")
        return found

    bound = {"exclusiveMinimum" if above else "minimum": low, "maximum": high}
    return One(words=words, parse=parse, kinds=frozenset({"int", "float"}), json={"type": "number", **bound})


def seconds(high: float = 86_400.0, *, zero: bool = False) -> One:
    """A time in seconds."""
    return number(0.0, high, "seconds", above=not zero)


def flag() -> One:
    """true or false."""

    def parse(value: str) -> bool:
        if value.lower() not in {"true", "false"}:
            raise ValueError("true or false")
        return value.lower() == "true"

    return One(words="true or false", parse=parse, kinds=frozenset({"bool"}), json={"type": "boolean"})


def amount() -> One:
    """Dollars as a decimal, read exactly as it is written, as whole nano-dollars."""

    def parse(value: str) -> int:
        if not re.fullmatch(AMOUNT_PATTERN, value):
            raise ValueError('dollars such as "50" or "0.25", with at most nine digits before and after the point')
        return int(Decimal(value) * NANO)

    either = {"anyOf": [{"type": "string", "pattern": f"^{AMOUNT_PATTERN}$"}, {"type": "number", "minimum": 0, "maximum": MANY}]}
    return One(words='dollars, such as "2.50"', parse=parse, kinds=_TEXT, json=either)


def size() -> One:
    """Bytes, as a number or with KiB, MiB or GiB."""

    def parse(value: str) -> int:
        found = _SIZE.fullmatch(value)
        if found is None or not 0 < (count := int(found[1]) * _UNITS[found[2]]) <= 1 << 40:
            raise ValueError("bytes, such as 1048576 or 32MiB")
        return count

    either = {"anyOf": [{"type": "string", "pattern": f"^{_SIZE.pattern}$"}, {"type": "integer", "minimum": 1, "maximum": 1 << 40}]}
    return One(words="bytes, such as 32MiB", parse=parse, kinds=frozenset({"str", "int"}), json=either)


def variable_name() -> One:
    """The name of a variable that holds a secret; the secret itself is refused, and not repeated."""
    pattern = r"[A-Za-z_][A-Za-z0-9_]{0,127}"

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError("the NAME of a variable; a key itself does not belong into this file")
        return value

    return One(words="name of a variable", parse=parse, kinds=_WORDS, json={"type": "string", "pattern": f"^{pattern}$"}, secret=True)


def secret_url() -> One:
    """An address whose path or query may hold a token: kept as a secret."""

    def parse(value: str) -> Secret:
        try:
            parts = urlsplit(value)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in {"http", "https"} or not parts.hostname or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("a URL that begins with https:// or http://")
        return Secret(value)

    return One(words="URL", parse=parse, kinds=_WORDS, json={"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://[^ ]+$"}, secret=True)
