"""Errors: classified by status and words of a table, never raising, and told to clients without blaming them for our key."""

from __future__ import annotations

from headgate.errors import TRANSIENT_KINDS, ErrorKind, ProviderError, WireError
from headgate.testing.conformance.case import Entry, Subject, expect, expect_equal
from headgate.wire.json import decode

STATUSES: dict[int, frozenset[ErrorKind]] = {
    400: frozenset({ErrorKind.BAD_REQUEST}),
    401: frozenset({ErrorKind.AUTH}),
    403: frozenset({ErrorKind.PERMISSION}),
    404: frozenset({ErrorKind.NOT_FOUND}),
    408: frozenset({ErrorKind.TIMEOUT}),
    413: frozenset({ErrorKind.BAD_REQUEST}),
    422: frozenset({ErrorKind.BAD_REQUEST}),
    429: frozenset({ErrorKind.RATE_LIMIT}),
    500: frozenset({ErrorKind.SERVER}),
    502: frozenset({ErrorKind.SERVER, ErrorKind.OVERLOADED}),
    503: frozenset({ErrorKind.SERVER, ErrorKind.OVERLOADED}),
    504: frozenset({ErrorKind.TIMEOUT}),
    529: frozenset({ErrorKind.OVERLOADED}),
}
"""What a status alone means (translation case 85)."""

TOLD: dict[ErrorKind, frozenset[int]] = {
    ErrorKind.AUTH: frozenset({502}),
    ErrorKind.PERMISSION: frozenset({403}),
    ErrorKind.QUOTA: frozenset({503}),
    ErrorKind.RATE_LIMIT: frozenset({429}),
    ErrorKind.TIMEOUT: frozenset({504}),
    ErrorKind.CONNECTION: frozenset({502, 503}),
    ErrorKind.SERVER: frozenset({502, 503}),
    ErrorKind.OVERLOADED: frozenset({503}),
    ErrorKind.BAD_REQUEST: frozenset({400}),
    ErrorKind.CONTEXT_LENGTH: frozenset({400}),
    ErrorKind.CONTENT_FILTER: frozenset({400}),
    ErrorKind.NOT_FOUND: frozenset({404}),
    ErrorKind.UNSUPPORTED: frozenset({400}),
    ErrorKind.CANCELLED: frozenset({499}),
    ErrorKind.UNKNOWN: frozenset({500, 502}),
}
"""What a client is told (translation case 85): a provider that refuses our key is a bad gateway, never the client's 401."""

BODIES = (
    b"",
    b"{}",
    b"[]",
    b"null",
    b"<html>",
    b"\xff\x00",
    b"[" * 100_000,
    b'{"error":7}',
    b'{"error":{"type":[],"code":{},"message":3}}',
)
"""Bodies that say nothing."""


def _statuses(subject: Subject) -> None:
    """Every status has its kind, whatever nonsense the body holds; nothing is raised."""
    for status, kinds in STATUSES.items():
        for body in BODIES:
            error = subject.chat.parse_error(status, {}, body)
            expect(error.kind in kinds, f"status {status} with {body[:40]!r} became {error.kind}, not {' or '.join(sorted(kinds))}")
            expect_equal(error.status, status, "status")
            expect(bool(error.message), f"status {status} with {body[:40]!r} has no message")


def _odd_statuses(subject: Subject) -> None:
    """No status is beyond the table: 4xx is not transient by itself, 5xx is not the client's fault."""
    for status in (*range(300, 400, 7), 418, 420, 451, 499, 520, 524, 599):
        error = subject.chat.parse_error(status, {}, b"")
        if status >= 500:
            expect(error.transient, f"status {status} became {error.kind}, which is not tried again")
        if status in (418, 420, 451):
            expect(not error.transient, f"status {status} became {error.kind}, which is tried again")


def _text_is_not_searched(subject: Subject) -> None:
    """Words in a message decide nothing."""
    for words in (
        "rate limit exceeded, overloaded, 429",
        "invalid api key, unauthorized 401",
        "context_length_exceeded insufficient_quota",
    ):
        body = b'{"error":{"message":"' + words.encode() + b'"}}'
        error = subject.chat.parse_error(400, {}, body)
        expect(error.kind is ErrorKind.BAD_REQUEST, f"the message {words!r} turned a 400 into {error.kind}")


def _waits(subject: Subject) -> None:
    """`retry-after` in seconds and `retry-after-ms` are read; nonsense is not."""
    parse = subject.chat.parse_error
    expect_equal(parse(429, {"retry-after": "3"}, b"").retry_after, 3.0, "retry-after")
    expect(parse(429, {"retry-after-ms": "250"}, b"").retry_after in (0.25, None), "retry-after-ms is read, or left to the transport")
    for nonsense in ("soon", "-1", "nan", "inf", ""):
        expect_equal(parse(429, {"retry-after": nonsense}, b"").retry_after, None, f"retry-after {nonsense!r}")


def _told(subject: Subject) -> None:
    """Every kind becomes an envelope of this surface with the right status, readable by the same dialect."""
    chat = subject.chat
    for kind, statuses in TOLD.items():
        rendered = chat.render_error(ProviderError(kind, "what happened", status=None, retry_after=2.5))
        expect(rendered.status in statuses, f"{kind} is told as {rendered.status}")
        expect(isinstance(decode(rendered.body), dict), f"{kind}: the envelope is no JSON object")
        expect(b"what happened" in rendered.body, f"{kind}: the message was lost")
        back = chat.parse_error(rendered.status, dict(rendered.headers), rendered.body)
        expect_equal("what happened" in back.message, True, f"{kind}: the message that is read again")
        if kind in TRANSIENT_KINDS:
            expect_equal(back.transient, True, f"{kind}, told and read again: worth another try")
            expect_equal(dict(rendered.headers).get("retry-after"), "3", f"{kind}: retry-after in whole seconds, rounded up")


def _unreadable_answers(subject: Subject) -> None:
    """An error object under status 200 is an error."""
    chat = subject.chat
    body = chat.render_error(ProviderError(ErrorKind.OVERLOADED, "busy")).body
    try:
        chat.parse_response(body)
    except ProviderError as error:
        expect(error.transient, f"an overloaded upstream became {error.kind}")
    except WireError as error:
        expect(False, f"an error object became a broken answer: {error}")
    else:
        expect(False, "an error object was taken for an answer")


ENTRIES = (
    Entry("errors-by-status", _statuses),
    Entry("errors-odd-statuses", _odd_statuses),
    Entry("errors-text-is-not-searched", _text_is_not_searched),
    Entry("errors-retry-after", _waits),
    Entry("errors-told-to-clients", _told),
    Entry("errors-under-status-200", _unreadable_answers),
)
