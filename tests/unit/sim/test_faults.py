"""Scripted faults: which requests they choose, and what the client then meets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from http.client import IncompleteRead, RemoteDisconnected
from itertools import pairwise

import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.sim import faults
from headgate.sim.faults import (
    CloseAfter,
    CutStream,
    Delay,
    DropReply,
    Garbage,
    Huge,
    Match,
    Reset,
    Rule,
    Script,
    Status,
    StreamError,
    Truncate,
    Twist,
)
from headgate.sim.server import Simulator
from headgate.wire.json import Json, encode

HELLO = [{"role": "user", "content": "Tell me about harbours"}]
CHAT = {"model": "sim-small", "messages": HELLO}
PATHS = {
    "openai": ("/openai/v1/chat/completions", CHAT, {"authorization": "Bearer sim-key"}),
    "anthropic": ("/anthropic/v1/messages", {**CHAT, "max_tokens": 50}, {"x-api-key": "sim-key", "anthropic-version": "2023-06-01"}),
    "gemini": ("/gemini/v1beta/models/sim-flash:generateContent", {"contents": [{"parts": [{"text": "hi"}]}]}, {}),
}
Http = Callable[..., Json]


def fired(match: Match, count: int, seed: int = 0, **about: str) -> list[int]:
    script = Script([Rule(Delay(1), match)], seed)
    given = {"provider": "openai", "operation": "chat", "model": "m", **about}
    return [number for number in range(1, count + 1) if script.fire(**given)]


@pytest.mark.parametrize(
    ("match", "numbers"),
    [
        (Match(), [1, 2, 3, 4, 5, 6]),
        (Match(nth=3), [3]),
        (Match(every=2), [2, 4, 6]),
        (Match(first=2), [1, 2]),
        (Match(every=2, first=4), [2, 4]),
        (Match(share=0.0), []),
        (Match(share=1.0), [1, 2, 3, 4, 5, 6]),
        (Match(provider="openai", operation="chat", model="m"), [1, 2, 3, 4, 5, 6]),
        (Match(provider="gemini"), []),
        (Match(operation="stream"), []),
        (Match(model="n"), []),
    ],
)
def test_a_rule_chooses_requests(match: Match, numbers: list[int]) -> None:
    assert fired(match, 6) == numbers


@given(st.integers(0, 10**6))
def test_a_share_is_reproducible_and_near(seed: int) -> None:
    chosen = fired(Match(share=0.3), 1000, seed)
    assert chosen == fired(Match(share=0.3), 1000, seed)
    assert 200 < len(chosen) < 400


def test_a_script_is_json() -> None:
    rules = (Rule(Status("rate_limit", retry_after=1.5), Match(operation="chat", first=2)), Rule(faults.Rows("missing", share=0.1)))
    assert faults.parse(json.loads(encode(rules))) == rules


@pytest.mark.parametrize(
    "document",
    [
        [{"action": {"kind": "explode"}}],
        [{"action": {"kind": "delay", "seconds": 1, "minutes": 2}}],
        [{"match": {"operation": "chatter"}, "action": {"kind": "drop_reply"}}],
        [{"action": {"kind": "status", "error": "no-such"}}],
        {"action": {}},
    ],
)
def test_a_wrong_script_is_refused(document: Json) -> None:
    with pytest.raises(ValueError, match=r"."):
        faults.parse(document)


NAMES = ["auth", "permission", "not_found", "rate_limit", "quota", "server", "unavailable", "overloaded", "context_length", "bad_request"]
OPENAI_ERRORS = {
    "auth": openai.AuthenticationError,
    "permission": openai.PermissionDeniedError,
    "not_found": openai.NotFoundError,
    "rate_limit": openai.RateLimitError,
    "quota": openai.RateLimitError,
    "server": openai.InternalServerError,
    "unavailable": openai.InternalServerError,
    "overloaded": openai.InternalServerError,
    "context_length": openai.BadRequestError,
    "bad_request": openai.BadRequestError,
}


@pytest.mark.parametrize("name", NAMES)
def test_openai_refusals(sim: Simulator, openai_client: openai.OpenAI, name: str) -> None:
    sim.set_faults((Rule(Status(name, retry_after=2.5)),))
    with pytest.raises(OPENAI_ERRORS[name]) as refused:
        openai_client.chat.completions.create(**CHAT)
    assert refused.value.response.headers["retry-after"] == "2.5"
    assert {"message", "type", "param", "code"} == set(refused.value.body)
    assert len(sim.bill) == 0


ANTHROPIC_TYPES = {
    "auth": (401, "authentication_error"),
    "permission": (403, "permission_error"),
    "not_found": (404, "not_found_error"),
    "rate_limit": (429, "rate_limit_error"),
    "quota": (400, "invalid_request_error"),
    "server": (500, "api_error"),
    "unavailable": (503, "api_error"),
    "overloaded": (529, "overloaded_error"),
    "context_length": (400, "invalid_request_error"),
    "bad_request": (400, "invalid_request_error"),
}


@pytest.mark.parametrize("name", NAMES)
def test_anthropic_refusals(sim: Simulator, anthropic_client: anthropic.Anthropic, name: str) -> None:
    sim.set_faults((Rule(Status(name)),))
    with pytest.raises(anthropic.APIStatusError) as refused:
        anthropic_client.messages.create(**CHAT, max_tokens=50)
    assert (refused.value.status_code, refused.value.body["error"]["type"]) == ANTHROPIC_TYPES[name]


def test_gemini_rate_limits_carry_retry_info(sim: Simulator, http: Http) -> None:
    sim.set_faults((Rule(Status("rate_limit", retry_after=20)),))
    path, body, headers = PATHS["gemini"]
    error = http("POST", path, body, headers).json()["error"]
    assert (error["code"], error["status"], error["details"][0]["retryDelay"]) == (429, "RESOURCE_EXHAUSTED", "20s")


@pytest.mark.parametrize("provider", PATHS)
def test_a_dropped_reply_is_executed_and_billed(sim: Simulator, http: Http, provider: str) -> None:
    sim.set_faults((Rule(DropReply(), Match(provider=provider, operation="chat", first=1)),))
    path, body, headers = PATHS[provider]
    with pytest.raises(RemoteDisconnected):
        http("POST", path, body, headers)
    assert len(sim.bill) == 1
    assert http("POST", path, body, headers).status == 200
    assert len(sim.bill) == 2


def test_a_dropped_batch_creation_leaves_the_batch_behind(sim: Simulator, anthropic_client: anthropic.Anthropic) -> None:
    sim.set_faults((Rule(DropReply(), Match(operation="batch_create")),))
    with pytest.raises(anthropic.APIConnectionError):
        anthropic_client.messages.batches.create(requests=[{"custom_id": "a", "params": {**CHAT, "max_tokens": 5}}])
    assert len(list(anthropic_client.messages.batches.list())) == 1


@pytest.mark.parametrize("provider", PATHS)
def test_a_reset_before_the_answer_executes_nothing(sim: Simulator, http: Http, provider: str) -> None:
    sim.set_faults((Rule(Reset()),))
    path, body, headers = PATHS[provider]
    with pytest.raises(ConnectionResetError):
        http("POST", path, body, headers)
    assert len(sim.bill) == 0


def test_a_reset_within_the_body(sim: Simulator, http: Http) -> None:
    sim.set_faults((Rule(Reset(after_bytes=400)),))
    path, body, headers = PATHS["openai"]
    with pytest.raises((ConnectionResetError, IncompleteRead)):
        http("POST", path, body, headers)
    assert len(sim.bill) == 1


def test_a_truncated_body(sim: Simulator, http: Http) -> None:
    sim.set_faults((Rule(Truncate(10)),))
    path, body, headers = PATHS["openai"]
    with pytest.raises(IncompleteRead) as short:
        http("POST", path, body, headers)
    assert len(short.value.partial) == 10


def stream_bytes(sim: Simulator, provider: str) -> bytes:
    """Everything a streamed request brings until the server closes or the stream ends."""
    path, body, headers = PATHS[provider]
    if provider == "gemini":
        path = path.replace("generateContent", "streamGenerateContent") + "?alt=sse&key=sim-key"
    data = encode({**body, "stream": True} if provider != "gemini" else body)
    lines = [f"POST {path} HTTP/1.1", "host: sim", f"content-length: {len(data)}", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection(("127.0.0.1", sim.port), timeout=20) as client:
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + data)
        received = b""
        while not received.endswith(b"\r\n0\r\n\r\n") and (more := client.recv(65536)):
            received += more
    return received


@pytest.mark.parametrize("provider", PATHS)
def test_a_cut_stream_ends_without_its_terminator(sim: Simulator, provider: str) -> None:
    whole = stream_bytes(sim, provider)
    sim.set_faults((Rule(CutStream(2), Match(operation="stream")),))
    cut = stream_bytes(sim, provider)
    assert whole.endswith(b"\r\n0\r\n\r\n") and not cut.endswith(b"0\r\n\r\n")
    assert cut.count(b"data: ") == 2 < whole.count(b"data: ")
    assert len(sim.bill) == 2


@pytest.mark.parametrize(
    ("provider", "said"), [("openai", b'"server_error"'), ("anthropic", b"overloaded_error"), ("gemini", b"UNAVAILABLE")]
)
def test_an_error_within_a_stream(sim: Simulator, provider: str, said: bytes) -> None:
    sim.set_faults((Rule(StreamError(3)),))
    received = stream_bytes(sim, provider)
    assert said in received and b"[DONE]" not in received and b"message_stop" not in received


def test_the_official_clients_see_stream_errors(
    sim: Simulator, openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic
) -> None:
    sim.set_faults((Rule(StreamError(3)),))
    with pytest.raises(openai.APIError):
        list(openai_client.chat.completions.create(**CHAT, stream=True))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(anthropic_client.messages.create(**CHAT, max_tokens=50, stream=True))


def test_garbage_and_huge_answers(sim: Simulator, http: Http) -> None:
    path, body, headers = PATHS["openai"]
    sim.set_faults((Rule(Garbage(), Match(nth=1)), Rule(Huge(3_000_000), Match(nth=2))))
    page = http("POST", path, body, headers)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(http("POST", path, body, headers).body) == 3_000_000
    assert len(sim.bill) == 0


@pytest.mark.parametrize(("answer", "finish"), [("length", "length"), ("refusal", "stop"), ("fenced", "stop"), ("invalid", "stop")])
def test_useless_answers(sim: Simulator, openai_client: openai.OpenAI, answer: str, finish: str) -> None:
    sim.set_faults((Rule(Twist(answer)),))
    choice = openai_client.chat.completions.create(**CHAT).choices[0]
    assert choice.finish_reason == finish and bool(choice.message.refusal) == (answer == "refusal")
    assert len(sim.bill) == 1


def test_an_answer_without_choices(sim: Simulator, openai_client: openai.OpenAI) -> None:
    sim.set_faults((Rule(Twist("empty")),))
    assert openai_client.chat.completions.create(**CHAT).choices == []


def test_a_delay_keeps_the_order_of_answers(sim: Simulator) -> None:
    sim.set_faults((Rule(Delay(0.05), Match(nth=1)),))
    data = encode(CHAT)
    request = b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: s\r\nauthorization: Bearer sim-key\r\ncontent-length: %d\r\n\r\n%b"
    with socket.create_connection(("127.0.0.1", sim.port), timeout=20) as client:
        client.sendall((request % (len(data), data)) * 3)
        received = b""
        while received.count(b'"usage"') < 3:
            received += client.recv(65536)
    places = [received.find(line.response_id.encode()) for line in sim.bill.lines]
    assert all(0 < before < after for before, after in pairwise(places))


def test_a_kept_connection_is_closed_behind_the_answer(sim: Simulator) -> None:
    sim.set_faults((Rule(CloseAfter()),))
    data = encode(CHAT)
    with socket.create_connection(("127.0.0.1", sim.port), timeout=20) as client:
        client.sendall(
            b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: s\r\nauthorization: Bearer sim-key\r\ncontent-length: %d\r\n\r\n"
            % len(data)
            + data
        )
        received = b""
        while more := client.recv(65536):
            received += more
    assert b"connection: keep-alive" in received and received.endswith(b"}")
