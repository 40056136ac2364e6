"""Answers given again over HTTP: from the cache, to a repeated request, from a recording (faults E19, E20, H11, J3)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from headgate.ledger.keys import KeyChange, LimitsChange
from headgate.ledger.rights import ADMIN
from headgate.observe.families import EVENTS
from headgate.sim.faults import CutStream, Delay, Match, Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Rig, running_gateway
from headgate.wire.json import Json, JsonObject

CHAT, MESSAGES, EMBED = "/v1/chat/completions", "/v1/messages", "/v1/embeddings"
GEMINI = "/v1beta/models/sim-gemini/sim-small:generateContent"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of an error."""
        found: str = json.loads(self.body)["error"]["code"]
        return found


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Rig]:
    with running_gateway(tmp_path, settings=SimSettings(seed=7)) as running:
        running.caching()
        yield running


def asked(text: str = "Hello.", **more: Json) -> JsonObject:
    return {"model": "sim-openai/sim-small", "max_tokens": 40, "messages": [{"role": "user", "content": text}], **more}


def post(gate: Rig, path: str, body: Json, key: str | None = None, **headers: str) -> Reply:
    connection = HTTPConnection(gate.url.removeprefix("http://"), timeout=20)
    sent = {"content-type": "application/json", "x-api-key": key or gate.key}
    try:
        connection.request("POST", path, json.dumps(body), sent | {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()


def cached(gate: Rig, body: Json, path: str = CHAT, key: str | None = None, wish: str = "max-age=60", **headers: str) -> Reply:
    return post(gate, path, body, key, x_cache_control=wish, **headers)


def made(gate: Rig, **change: object) -> str:
    """A virtual key."""
    return gate.keys.create(KeyChange(**change), ADMIN).secret.reveal()  # type: ignore[arg-type]


def calls(gate: Rig) -> int:
    """How often the provider was asked."""
    return len(gate.sim.requests)


def counted(gate: Rig, family: str) -> dict[str, float]:
    assert family in EVENTS
    return {label: number for name, label, number in gate.counters.snapshot(0.0).events if name == family}


# The cache


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, asked()),
        (CHAT, asked(model="sim-anthropic/sim-small")),
        (MESSAGES, asked(model="sim-anthropic/sim-small")),
        (GEMINI, {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}], "generationConfig": {"maxOutputTokens": 40}}),
        (EMBED, {"model": "sim-openai/sim-small", "input": "Hello."}),
    ],
)
def test_a_hit_is_the_same_answer_for_nothing(gate: Rig, path: str, body: JsonObject) -> None:
    first, second = cached(gate, body, path), cached(gate, body, path)
    assert (first.status, first.headers.get("x-cache")) == (200, "miss"), first.body
    assert (second.status, second.headers["x-cache"], second.headers["age"]) == (200, "hit", "0")
    assert second.body == first.body
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["x-headgate-cost"] == "0.00"
    assert second.headers["x-headgate-provider"] == first.headers["x-headgate-provider"]
    assert calls(gate) == 1
    paid, free = gate.receipts(2)
    assert (free.id, free.cost_nanos, free.usage.total, free.attempts) == (second.headers["x-headgate-request-id"], 0, 0, ())
    assert f"receipt {paid.id} paid $" in free.explanation
    assert (free.operation, free.dialect_in) == (paid.operation, paid.dialect_in)
    assert counted(gate, "cache") == {"miss": 1, "hit": 1}
    assert counted(gate, "cache_saved_nanos") == ({"": paid.cost_nanos} if paid.cost_nanos else {})


@pytest.mark.parametrize("model", ["sim-openai/sim-small", "sim-anthropic/sim-small"])
def test_a_stream_is_streamed_again(gate: Rig, model: str) -> None:
    body = asked(model=model, stream=True)
    first, second = cached(gate, body), cached(gate, body)
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.body.endswith(b"data: [DONE]\n\n")
    assert second.body == first.body
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["transfer-encoding"] == "chunked"
    assert calls(gate) == 1
    assert [receipt.stream for receipt in gate.receipts(2)] == [True, True]


def test_only_who_asks_is_answered_from_the_cache(gate: Rig) -> None:
    cached(gate, asked())
    assert "x-cache" not in post(gate, CHAT, asked()).headers
    assert cached(gate, asked(), wish="no-cache, max-age=60").headers["x-cache"] == "miss"
    assert "x-cache" not in cached(gate, asked(), wish="no-store").headers
    assert cached(gate, asked("Otherwise.")).headers["x-cache"] == "miss"
    assert calls(gate) == 5
    assert counted(gate, "cache") == {"miss": 2, "bypass": 1}


def test_without_the_setting_nothing_is_cached(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gate:
        assert ["x-cache" in cached(gate, asked()).headers for _ in range(2)] == [False, False]
        assert calls(gate) == 2


@pytest.mark.parametrize("more", [{"store": True}, {"tools": [{"type": "web_search"}]}])
def test_what_must_not_be_given_twice_is_not(gate: Rig, more: JsonObject) -> None:
    for _ in range(2):
        assert "x-cache" not in cached(gate, asked(**more)).headers
    assert set(counted(gate, "cache")) == {"bypass"}


def test_failures_and_broken_streams_are_not_kept(gate: Rig) -> None:
    gate.sim.set_faults((Rule(Status("server"), Match(first=9)),))
    assert cached(gate, asked()).status >= 500
    gate.sim.set_faults((Rule(CutStream(2), Match(first=9)),))
    gate.calm()
    assert cached(gate, asked(stream=True)).status == 200
    gate.sim.set_faults(())
    gate.calm()
    assert cached(gate, asked()).headers["x-cache"] == "miss"
    whole = cached(gate, asked(stream=True))
    assert whole.headers["x-cache"] == "miss"
    assert whole.body.endswith(b"data: [DONE]\n\n")


def test_no_tenant_gets_the_answer_of_another(gate: Rig) -> None:
    red, blue, mate = made(gate, team="red"), made(gate, team="blue"), made(gate, team="red")
    assert cached(gate, asked(), key=red).headers["x-cache"] == "miss"
    assert cached(gate, asked(), key=blue).headers["x-cache"] == "miss"
    assert cached(gate, asked(), key=mate).headers["x-cache"] == "hit"
    assert [receipt.team for receipt in gate.receipts(3)] == ["red", "blue", "red"]


def test_a_key_gets_nothing_from_the_cache_that_it_may_not_call(gate: Rig) -> None:
    allowed, barred = made(gate, team="red", models=("sim-openai/*",)), made(gate, team="red", models=("sim-anthropic/*",))
    assert cached(gate, asked(), key=allowed).headers["x-cache"] == "miss"
    assert cached(gate, asked(), key=barred).status == 404


def test_a_hit_counts_as_a_request(gate: Rig) -> None:
    limited = made(gate, limits=LimitsChange(rpm=2))
    assert [cached(gate, asked(), key=limited).status for _ in range(3)] == [200, 200, 429]


# Idempotency-Key


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_is_carried_out_once(gate: Rig, stream: bool) -> None:
    body = asked(stream=stream)
    first, second = (post(gate, CHAT, body, idempotency_key="k-1") for _ in range(2))
    assert second.body == first.body
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert second.headers["x-headgate-request-id"] == first.headers["x-headgate-request-id"]
    assert calls(gate) == 1
    assert len(gate.receipts(1)) == 1
    assert counted(gate, "idempotency") == {"new": 1, "replay": 1}


def test_a_key_stands_for_one_request_of_one_tenant(gate: Rig) -> None:
    red, blue = made(gate, team="red"), made(gate, team="blue")
    assert post(gate, CHAT, asked(), red, idempotency_key="k").status == 200
    other = post(gate, CHAT, asked("Something else."), red, idempotency_key="k")
    assert (other.status, other.code) == (422, "idempotency_conflict")
    assert "idempotent-replayed" not in post(gate, CHAT, asked("Something else."), blue, idempotency_key="k").headers
    assert post(gate, CHAT, asked(), idempotency_key="a key with blanks").code == "invalid_idempotency_key"


def test_a_request_under_way_is_not_begun_again(gate: Rig) -> None:
    gate.sim.set_faults((Rule(Delay(1.0), Match(first=1)),))
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(post(gate, CHAT, asked(), idempotency_key="k")))
    thread.start()
    while not calls(gate):
        assert thread.is_alive()
    busy = post(gate, CHAT, asked(), idempotency_key="k")
    assert (busy.status, busy.code, busy.headers["retry-after"]) == (409, "idempotency_in_progress", "1")
    thread.join()
    assert replies[0].status == 200
    assert post(gate, CHAT, asked(), idempotency_key="k").body == replies[0].body
    assert calls(gate) == 1


def test_what_failed_can_be_sent_again(gate: Rig) -> None:
    gate.sim.set_faults((Rule(Status("bad_request"), Match(first=1)),))
    assert post(gate, CHAT, asked(), idempotency_key="k").status == 400
    assert post(gate, CHAT, asked(), idempotency_key="k").status == 200
    assert post(gate, CHAT, asked(model="no-such-model"), idempotency_key="other").status == 404
    assert post(gate, CHAT, asked(), idempotency_key="other").status == 200


# Recordings


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_recorded_is_replayed_without_a_provider(gate: Rig, stream: bool, tmp_path: Path) -> None:
    records, replays = made(gate, team="red", recording="record"), made(gate, team="red", recording="replay")
    body = asked(stream=stream)
    first = post(gate, CHAT, body, records)
    assert first.status == 200
    (cassette,) = (tmp_path / "recordings").rglob("*.json")
    assert cassette.stat().st_mode & 0o777 == 0o600
    assert records not in cassette.read_text(encoding="utf-8")
    gate.sim.set_faults((Rule(Status("unavailable"), Match(first=99)),))
    second = post(gate, CHAT, body, replays)
    assert (second.status, second.body, second.headers["x-headgate-cost"]) == (200, first.body, "0.00")
    missing = post(gate, CHAT, asked("Never asked."), replays)
    assert (missing.status, missing.code) == (404, "no_recording")
    other = made(gate, team="blue", recording="replay")
    assert post(gate, CHAT, body, other).code == "no_recording"
    assert calls(gate) == 1
    paid, free = gate.receipts(2)
    assert (free.cost_nanos, free.attempts, free.price_rule) == (0, (), "recording")
    assert paid.cost_nanos != 0
    assert counted(gate, "recording") == {"kept": 1, "hit": 1, "miss": 2}


def test_nothing_is_recorded_by_other_keys(gate: Rig, tmp_path: Path) -> None:
    assert post(gate, CHAT, asked(), made(gate)).status == 200
    assert not (tmp_path / "recordings").exists()
