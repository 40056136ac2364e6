"""What a request wants of the response cache (SPN-32). Pure."""

from __future__ import annotations

import re

import msgspec

from headgate.serving.request import Request

_MAX_AGE = re.compile(r"max-age=(\d{1,9})", re.ASCII)


class CacheRule(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings allow. `max_age` is for requests that say nothing (0: they are not cached), `longest` bounds what may be asked."""

    enabled: bool = False
    max_age: int = 0
    longest: int = 86_400


class Wish(msgspec.Struct, frozen=True):
    """What is to be done: look for an answer not older than `max_age` seconds, and keep the new one for so long."""

    find: bool = False
    keep: bool = False
    max_age: int = 0

    @property
    def cached(self) -> bool:
        """Whether the cache is concerned at all, and ``x-cache`` is answered."""
        return self.find or self.keep


NOTHING = Wish()


def read_wish(request: Request, rule: CacheRule) -> Wish:
    """The wish of a request: ``x-cache-control: max-age=N`` asks for the cache, ``no-cache`` for a new answer, ``no-store`` for neither.

    ``cache-control`` is heard for the latter two and for ``max-age=0``.
    """
    if not rule.enabled:
        return NOTHING
    ours, usual = _directives(request, "x-cache-control"), _directives(request, "cache-control")
    asked = next((int(match[1]) for word in ours if (match := _MAX_AGE.fullmatch(word))), None)
    seconds = min(rule.max_age if asked is None else asked, rule.longest)
    if seconds == 0 or "no-store" in ours | usual:
        return NOTHING
    fresh = "no-cache" in ours | usual or "max-age=0" in usual
    return Wish(not fresh, True, seconds)


def _directives(request: Request, header: str) -> set[str]:
    return {word.strip().lower() for value in request.values(header) for word in value.split(",")}
