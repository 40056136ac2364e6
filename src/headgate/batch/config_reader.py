"""Reading a mapping key by key: typed, with defaults, and with every complaint pointing at its line.

Complaints are collected rather than raised one at a time, so that a pipeline's author sees all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from headgate.batch.yaml_source import Document, Path
from headgate.errors import ConfigError
from headgate.wire.json import Json, JsonObject, type_name

_Word = TypeVar("_Word", bound=StrEnum)
_MISSING = object()
MOST_INTEGER = 2**63 - 1
MOST_NUMBER = 1_000_000_000


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` probably means."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.72)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint for an unknown name: the close one, or the whole list when it is short."""
    names = sorted(known)
    close = suggestion(name, names)
    if close:
        return f"did you mean {close!r}?"
    return f"known: {', '.join(names)}" if names and len(names) <= 20 else None


class Faults(ConfigError):
    """Several errors of one document: a line each in the message, and one by one in `found`."""

    def __init__(self, found: tuple[ConfigError, ...]) -> None:
        lines = [f"{error.message}{f' ({error.hint})' if error.hint else ''}" for error in found]
        bulleted = "\n".join(f"  {line}" for line in lines)
        super().__init__(f"{len(lines)} errors\n{bulleted}", hint=found[0].hint)
        self.where = found[0].where
        self.found = found


class Findings:
    """Errors and warnings collected while a pipeline is read."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.warnings: list[str] = []

    def error(self, message: str, where: str | None, hint: str | None = None) -> None:
        """Note an error at `where`."""
        self.errors.append(ConfigError(message, where=where, hint=hint))

    def warn(self, message: str, where: str | None) -> None:
        """Note something that does not stop a run."""
        self.warnings.append(f"{where}: {message}" if where else message)

    def caught(self, error: ConfigError) -> None:
        """Note an error raised elsewhere."""
        self.errors.append(error)

    def raise_any(self) -> None:
        """Raise the only error, or `Faults`, at the first one's place."""
        if not self.errors:
            return
        if len(self.errors) == 1:
            raise self.errors[0]
        raise Faults(tuple(self.errors))


class Section:
    """One mapping of a document. Getters note a complaint and return the default for a value of the wrong kind."""

    def __init__(self, document: Document, path: Path, value: JsonObject, findings: Findings) -> None:
        self.document = document
        self.path = path
        self.value = value
        self.findings = findings
        self._known: set[str] = set()

    @classmethod
    def of(cls, document: Document, findings: Findings) -> Section:
        """The document's top level; anything but a mapping is an error."""
        value = document.value
        if not isinstance(value, dict):
            findings.error(f"the file must hold a mapping, not {type_name(value)}", document.where())
            value = {}
        return cls(document, (), value, findings)

    def where(self, *path: str | int) -> str:
        """Position of a key below this section."""
        return self.document.where(*self.path, *path)

    def error(self, message: str, *path: str | int, hint: str | None = None) -> None:
        """Note an error at a key below this section."""
        self.findings.error(message, self.where(*path), hint)

    def has(self, key: str) -> bool:
        """True if the key is there and not null."""
        self._known.add(key)
        return self.value.get(key) is not None

    def raw(self, key: str) -> Json:
        """The value as it stands, None if absent."""
        self._known.add(key)
        return self.value.get(key)

    def _typed(self, key: str, kinds: tuple[type, ...], what: str) -> Json:
        value = self.raw(key)
        if value is None:
            return _MISSING
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.error(f"{key!r} must be {what}, not {type_name(value)}", key)
            return _MISSING
        return value

    def text(self, key: str) -> str | None:
        """A text, or None if absent."""
        value = self._typed(key, (str,), "text")
        return None if value is _MISSING else str(value)

    def required_text(self, key: str) -> str:
        """A text that must be there and not empty."""
        value = self.text(key)
        if not value and not (key in self.value and self.value[key] is not None):
            self.error(f"{key!r} is missing")
        return value or ""

    def integer(self, key: str, default: int, *, least: int = 0) -> int:
        """An integer from `least` to `MOST_INTEGER`."""
        value = self._typed(key, (int,), "an integer")
        return default if value is _MISSING or not self._within(key, value, least, MOST_INTEGER) else int(value)

    def optional_integer(self, key: str, *, least: int = 0) -> int | None:
        """An integer of at least `least`, or None if absent."""
        return self.integer(key, least, least=least) if self.has(key) else None

    def number(self, key: str, default: float | None = None, *, least: float = 0.0) -> float | None:
        """A number from `least` to `MOST_NUMBER`."""
        value = self._typed(key, (int, float), "a number")
        return default if value is _MISSING or not self._within(key, value, least, MOST_NUMBER) else float(value)

    def _within(self, key: str, value: float, least: float, most: int) -> bool:
        """Whether a number is one that may be; an error when it is not."""
        if value < least:
            self.error(f"{key!r} must be at least {least}, not {value}", key)
        elif not value <= most:
            self.error(f"{key!r} must be at most {most:,}", key)
        return least <= value <= most

    def boolean(self, key: str, default: bool) -> bool:
        """``true`` or ``false``."""
        value = self._typed(key, (bool,), "true or false")
        return default if value is _MISSING else bool(value)

    def choice(self, key: str, words: type[_Word], default: _Word) -> _Word:
        """One word of an enumeration."""
        value = self.text(key)
        if value is None:
            return default
        try:
            return words(value)
        except ValueError:
            self.error(f"{key!r} cannot be {value!r}", key, hint=did_you_mean(value, [word.value for word in words]))
            return default

    def section(self, key: str) -> Section:
        """A mapping below; empty if absent."""
        value = self._typed(key, (dict,), "a mapping")
        return Section(self.document, (*self.path, key), {} if value is _MISSING else value, self.findings)

    def sections(self, key: str) -> list[Section]:
        """A list of mappings below; elements of another kind are errors and left out."""
        value = self._typed(key, (list,), "a list")
        result = []
        for index, item in enumerate([] if value is _MISSING else value):
            if isinstance(item, dict):
                result.append(Section(self.document, (*self.path, key, index), item, self.findings))
            else:
                self.error(f"{key!r} must list mappings, not {type_name(item)}", key, index)
        return result

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of texts."""
        value = self.raw(key)
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in items):
            self.error(f"{key!r} must be a list of texts", key)
            return ()
        return tuple(items)

    def sources(self, key: str) -> tuple[tuple[str, str], ...]:
        """An ordered map of names to expression text; a bare number or boolean stands for itself."""
        pairs = []
        below = self.section(key)
        for name, value in below.value.items():
            if not isinstance(value, str | int | float | bool):
                below.error(f"expression {name!r} must be text, not {type_name(value)}", name)
            else:
                pairs.append((name, value if isinstance(value, str) else repr(value)))
        return tuple(pairs)

    def mapping(self, key: str) -> JsonObject:
        """A mapping taken as it stands."""
        return self.section(key).value

    def mapping_names(self, key: str) -> tuple[str, ...]:
        """The names in a mapping that was read; none where it is none."""
        found = self.value.get(key)
        return tuple(found) if isinstance(found, dict) else ()

    def ignore(self, *keys: str) -> None:
        """Keys that may be there and mean nothing to us."""
        self._known.update(keys)

    def close(self) -> None:
        """Complain about keys nobody asked for: an error if one looks like a known key, else a warning."""
        for key in self.value:
            if key in self._known:
                continue
            close = suggestion(key, self._known)
            if close:
                self.error(f"unknown key {key!r}", key, hint=f"did you mean {close!r}?")
            else:
                self.findings.warn(f"unknown key {key!r} is ignored", self.where(key))
