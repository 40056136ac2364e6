"""Errors as both surfaces write them (translation cases 85, 93)."""

from __future__ import annotations

import json

import pytest

from headgate.errors import (
    ConfigError,
    ErrorKind,
    HeadgateError,
    MissingKey,
    ProviderError,
    StoreError,
    TooLarge,
    Truncated,
    Unsupported,
    UsageError,
)
from headgate.gateway.app import ANTHROPIC, GEMINI, OPENAI
from headgate.serving.app import App
from headgate.serving.auth import OpenDoor
from headgate.serving.envelopes import PLAIN, Refused, Surface, error_response
from headgate.serving.routes import Routes

TABLE: dict[str, tuple[HeadgateError, int, str, str]] = {
    "refused": (Refused(413, "too long", code="request_too_large"), 413, "invalid_request_error", "request_too_large"),
    "slow": (Refused(408, "too slow"), 408, "timeout_error", "timeout_error"),
    "key": (Refused(401, "no key", code="invalid_api_key"), 401, "invalid_request_error", "authentication_error"),
    "unknown model": (ConfigError("unknown model"), 404, "invalid_request_error", "not_found_error"),
    "missing key": (MissingKey("no key"), 502, "server_error", "api_error"),
    "unsupported": (Unsupported("cannot", param="n"), 400, "invalid_request_error", "invalid_request_error"),
    "usage": (UsageError("no"), 400, "invalid_request_error", "invalid_request_error"),
    "truncated": (Truncated("cut"), 502, "server_error", "api_error"),
    "too large": (TooLarge("big"), 502, "server_error", "api_error"),
    "bad content": (ProviderError(ErrorKind.SERVER, "html", status=200, code="upstream_bad_content"), 502, "server_error", "api_error"),
    "upstream auth": (ProviderError(ErrorKind.AUTH, "wrong key", status=401), 502, "upstream_auth", "api_error"),
    "rate limit": (
        ProviderError(ErrorKind.RATE_LIMIT, "slow down", status=429, retry_after=2.5),
        429,
        "rate_limit_error",
        "rate_limit_error",
    ),
    "server": (ProviderError(ErrorKind.SERVER, "broken", status=500), 503, "server_error", "api_error"),
    "timeout": (ProviderError(ErrorKind.TIMEOUT, "late"), 504, "timeout_error", "timeout_error"),
}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_openai(name: str) -> None:
    error, status, kind, _ = TABLE[name]
    response = error_response(error, OPENAI, "r1")
    body = json.loads(response.body)["error"]
    assert (response.status, body["type"]) == (status, kind)
    assert set(body) == {"message", "type", "param", "code"}
    assert error.message in body["message"]


@pytest.mark.parametrize("name", sorted(TABLE))
def test_anthropic(name: str) -> None:
    error, status, _, kind = TABLE[name]
    response = error_response(error, ANTHROPIC, "r1")
    body = json.loads(response.body)
    assert (response.status, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert error.message in body["error"]["message"]


def test_codes_and_params() -> None:
    body = json.loads(error_response(Unsupported("cannot", param="n", hint="send two"), OPENAI).body)["error"]
    assert body == {"message": "cannot (send two)", "type": "invalid_request_error", "param": "n", "code": "unsupported_parameter"}
    wire = json.loads(error_response(Unsupported("cannot", param="n"), ANTHROPIC, "r1").body)
    assert wire == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "n: cannot", "details": {"error_code": "unsupported_parameter"}},
        "request_id": "r1",
    }


@pytest.mark.parametrize("surface", [OPENAI, ANTHROPIC, GEMINI, PLAIN])
def test_where_the_books_are_concerns_the_house(surface: Surface) -> None:
    error = StoreError("/data/house/ledger.db: database or disk is full", hint="df -h /data/house")
    response = error_response(error, surface)
    assert (response.status, ("retry-after", "1") in response.headers) == (503, True)
    assert b"/data/house" not in response.body and b"/readyz" in response.body


def test_retry_after_reaches_the_client() -> None:
    response = error_response(TABLE["rate limit"][0], OPENAI)
    assert ("retry-after", "3") in response.headers


def test_a_provider_error_without_a_surface() -> None:
    assert error_response(TABLE["server"][0], PLAIN).status == 502


def test_what_the_store_says_is_logged_when_it_is_new(caplog: pytest.LogCaptureFixture) -> None:
    app = App(Routes(()), door=OpenDoor(None), hosts=None)
    for message in ("disk full", "disk full", "disk full", "no such file"):
        assert app.refuse(StoreError(message)).status == 503
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["disk full", "no such file"]
