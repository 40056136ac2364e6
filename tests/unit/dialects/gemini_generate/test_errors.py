"""Google's error envelope: classification by word, reason and quota id, and our own on the way out (translation cases 85–89, 93)."""

from __future__ import annotations

import pytest

from headgate.dialects.gemini_generate.errors import classify, parse_error, render_error
from headgate.errors import ErrorKind, ProviderError
from headgate.wire.json import Json, decode, encode


def body(status: int, word: str, *details: Json) -> bytes:
    return encode({"error": {"code": status, "message": "why", "status": word, "details": list(details)}})


def quota(name: str, value: str = "10") -> Json:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name, "quotaValue": value}]}


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s"}
KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}

TABLE = [
    ("case-85-400", 400, body(400, "INVALID_ARGUMENT"), ErrorKind.BAD_REQUEST, None),
    ("case-85-401", 401, body(401, "UNAUTHENTICATED"), ErrorKind.AUTH, None),
    ("case-85-403", 403, body(403, "PERMISSION_DENIED"), ErrorKind.PERMISSION, None),
    ("case-85-404", 404, body(404, "NOT_FOUND"), ErrorKind.NOT_FOUND, None),
    ("case-85-499", 499, body(499, "CANCELLED"), ErrorKind.CANCELLED, None),
    ("case-85-500", 500, body(500, "INTERNAL"), ErrorKind.SERVER, None),
    ("case-85-503", 503, body(503, "UNAVAILABLE"), ErrorKind.OVERLOADED, None),
    ("case-85-504", 504, body(504, "DEADLINE_EXCEEDED"), ErrorKind.TIMEOUT, None),
    (
        "case-86-day-quota",
        429,
        body(429, "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerDayPerProjectPerModel"), RETRY),
        ErrorKind.QUOTA,
        12.5,
    ),
    ("case-86-zero-quota", 429, body(429, "RESOURCE_EXHAUSTED", quota("RequestsPerMinute", "0")), ErrorKind.QUOTA, None),
    ("case-86-minute-quota", 429, body(429, "RESOURCE_EXHAUSTED", quota("RequestsPerMinute"), RETRY), ErrorKind.RATE_LIMIT, 12.5),
    ("case-87-key", 400, body(400, "INVALID_ARGUMENT", KEY), ErrorKind.AUTH, None),
    (
        "case-87-words-in-the-message",
        400,
        encode({"error": {"status": "INVALID_ARGUMENT", "message": "API_KEY_INVALID quota 429"}}),
        ErrorKind.BAD_REQUEST,
        None,
    ),
    ("case-89-retry-info", 429, body(429, "RESOURCE_EXHAUSTED", RETRY), ErrorKind.RATE_LIMIT, 12.5),
    ("array-body", 429, b"[" + body(429, "RESOURCE_EXHAUSTED") + b"]", ErrorKind.RATE_LIMIT, None),
    ("no-json", 503, b"<html>", ErrorKind.OVERLOADED, None),
    ("no-json-unknown-5xx", 599, b"", ErrorKind.SERVER, None),
    ("no-json-unknown", 418, b"null", ErrorKind.UNKNOWN, None),
    ("rpc-code", 200, encode({"error": {"code": 8, "message": "m"}}), ErrorKind.RATE_LIMIT, None),
]


@pytest.mark.parametrize(("status", "data", "kind", "delay"), [pytest.param(*row[1:], id=row[0]) for row in TABLE])
def test_classified(status: int, data: bytes, kind: ErrorKind, delay: float | None) -> None:
    error = parse_error(status, {}, data)
    assert (error.kind, error.retry_after) == (kind, delay)
    assert error.body == data[:4096]


@pytest.mark.parametrize(
    ("headers", "delay"), [({"retry-after": "3"}, 3.0), ({"retry-after-ms": "250"}, 0.25), ({"retry-after": "Wed, 21 Oct"}, None)]
)
def test_case_89_headers(headers: dict[str, str], delay: float | None) -> None:
    assert parse_error(429, headers, body(429, "RESOURCE_EXHAUSTED")).retry_after == delay
    assert parse_error(503, headers, b"").retry_after == delay


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        (1, ErrorKind.CANCELLED, 499),
        (3, ErrorKind.BAD_REQUEST, 400),
        (14, ErrorKind.OVERLOADED, 503),
        (503, ErrorKind.OVERLOADED, 503),
        (999, ErrorKind.UNKNOWN, None),
    ],
)
def test_rpc_codes_of_batch_rows(code: int, kind: ErrorKind, status: int | None) -> None:
    error = classify({"code": code, "message": "m"})
    assert (error.kind, error.status) == (kind, status)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_case_85_and_93_our_envelope(kind: ErrorKind) -> None:
    rendered = render_error(ProviderError(kind, "why", status=401, param="contents", retry_after=2.5))
    error = decode(rendered.body)["error"]
    assert error["code"] == rendered.status
    assert error["message"] == "why"
    assert rendered.status != 401
    assert dict(rendered.headers)["retry-after"] == "3"
    back = parse_error(rendered.status, {}, rendered.body)
    assert back.retry_after == 2.5
    assert kind not in (ErrorKind.RATE_LIMIT, ErrorKind.TIMEOUT, ErrorKind.NOT_FOUND) or back.kind is kind
    assert kind is not ErrorKind.AUTH or (rendered.status, error["details"][0]["reason"]) == (502, "UPSTREAM_AUTH")
