"""The response cache: what is the same request, whose answers they are, and how much is held."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from headgate.ledger.principal import Principal
from headgate.serving.answer_store import AnswerStore
from headgate.serving.cache import LayeredCache, ResponseCache, hit_headers, hit_receipt
from headgate.serving.cache_control import NOTHING, CacheRule, Wish, read_wish
from headgate.serving.cache_key import cache_key, canonical, uncacheable
from headgate.serving.request import Request
from headgate.serving.response import Response, Stream
from headgate.serving.stored import Collected, Stored, kept_headers, pack, replay, unpack
from headgate.store import Store

A, B = Principal(key_id="a", team="red"), Principal(key_id="b", team="blue")
ANSWER = Stored(status=200, headers=(("content-type", "application/json"),), body=b'{"ok":true}', receipt="01R", cost_nanos=1_200, at=10.0)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


# The key


@given(json_values)
def test_the_same_text_written_otherwise_is_the_same_request(value: object) -> None:
    plain = json.dumps(value).encode()
    loose = json.dumps(value, indent=3, sort_keys=True, ensure_ascii=True).encode()
    assert cache_key(A, "openai", "/p", plain) == cache_key(A, "openai", "/p", loose)


@given(json_values, json_values)
def test_other_contents_are_another_request(one: object, other: object) -> None:
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert cache_key(A, "openai", "/p", json.dumps(one).encode()) != cache_key(A, "openai", "/p", json.dumps(other).encode())


names = st.text(max_size=6)
principals = st.builds(
    Principal, key_id=names, team=st.none() | names, owner=st.none() | names, models=st.lists(names, max_size=2).map(tuple),
    scopes=st.frozensets(st.sampled_from(["completions:read", "models:read"])),
)  # fmt: skip
asked = st.tuples(principals, names, names, st.binary(max_size=8), st.lists(st.tuples(names, names), max_size=2).map(tuple))


@example((Principal(key_id="a", models=("b", "c")), "", "", b"", ()), (Principal(key_id="a"), "", "", b"", (("b", "c"),)))
@given(asked, asked)
def test_no_part_can_pass_for_another(one: tuple[Principal, str, str, bytes, tuple[tuple[str, str], ...]], other: object) -> None:
    """Whoever asks, wherever, whatever: two keys are equal only when everything is."""

    def identity(asking: tuple[Principal, str, str, bytes, tuple[tuple[str, str], ...]]) -> object:
        who, surface, path, body, vary = asking
        return who.tenant, who.scopes, sorted(who.models), surface, path, canonical(body), vary

    assert isinstance(other, tuple)
    assert (cache_key(*one) == cache_key(*other)) == (identity(one) == identity(other))


def test_two_tenants_never_share() -> None:
    cache = ResponseCache()
    cache.keep(cache_key(A, "openai", "/p", b"{}"), ANSWER, 0.0, 60.0)
    assert cache.find(cache_key(A, "openai", "/p", b" { } "), 1.0, 60.0) == ANSWER
    assert cache.find(cache_key(B, "openai", "/p", b"{}"), 1.0, 60.0) is None


@pytest.mark.parametrize("body", [b'{"a":1,"a":2}', b'{"a":NaN}', b"{", b"\xff", b"[" * 100_000, b'{"n":' + b"9" * 5_000 + b"}"])
def test_what_others_may_read_otherwise_is_compared_byte_by_byte(body: bytes) -> None:
    assert canonical(body) == (b"bytes", body)


@pytest.mark.parametrize(
    ("surface", "body", "reason"),
    [
        ("openai", {}, None),
        ("openai", {"store": False, "tools": [{"type": "function", "function": {}}]}, None),
        ("openai", {"store": True}, "store"),
        ("openai", {"web_search_options": {"a": 1}}, "web_search_options"),
        ("openai_responses", {}, "store"),
        ("openai_responses", {"store": False}, None),
        ("openai_responses", {"store": False, "previous_response_id": "r"}, "previous_response_id"),
        ("openai_responses", {"store": False, "tools": [{"type": "web_search"}]}, "tools"),
        ("anthropic", {"tools": [{"name": "f", "input_schema": {}}]}, None),
        ("anthropic", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ("anthropic", {"mcp_servers": [{}]}, "mcp_servers"),
        ("anthropic", {"mcp_servers": []}, None),
        ("gemini", {"tools": [{"functionDeclarations": []}]}, None),
        ("gemini", {"tools": [{"googleSearch": {}}]}, "tools"),
        ("openai", {"tools": "all"}, "tools"),
        ("openai", {"tools": None}, None),
    ],
)
def test_what_must_not_be_given_twice(surface: str, body: object, reason: str | None) -> None:
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    assert uncacheable(surface, fields) == reason


# What is wished


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ({}, NOTHING),
        ({"x-cache-control": "max-age=60"}, Wish(True, True, 60)),
        ({"x-cache-control": "max-age=999999999"}, Wish(True, True, 3600)),
        ({"x-cache-control": "max-age=60", "cache-control": "no-cache"}, Wish(False, True, 60)),
        ({"x-cache-control": "Max-Age=60, no-cache"}, Wish(False, True, 60)),
        ({"x-cache-control": "max-age=60", "cache-control": "max-age=0"}, Wish(False, True, 60)),
        ({"x-cache-control": "max-age=60", "cache-control": "no-store"}, NOTHING),
        ({"x-cache-control": "max-age=0"}, NOTHING),
        ({"x-cache-control": "max-age=-5"}, NOTHING),
        ({"cache-control": "max-age=60"}, NOTHING),
    ],
)
def test_wishes(headers: dict[str, str], wish: Wish) -> None:
    request = Request(method="POST", path="/p", headers=tuple(headers.items()))
    assert read_wish(request, CacheRule(enabled=True, longest=3600)) == wish
    assert read_wish(request, CacheRule(enabled=False, max_age=60)) == NOTHING


def test_the_settings_may_wish_for_everybody() -> None:
    rule = CacheRule(enabled=True, max_age=30)
    assert read_wish(Request(method="POST", path="/p"), rule) == Wish(True, True, 30)
    assert read_wish(Request(method="POST", path="/p", headers=(("x-cache-control", "max-age=0"),)), rule) == NOTHING


# Holding


def test_age_and_expiry() -> None:
    cache = ResponseCache()
    cache.keep(b"k", ANSWER, 100.0, 50.0)
    assert cache.find(b"k", 149.0, 60.0) == ANSWER
    assert cache.find(b"k", 120.0, 10.0) is None
    assert cache.find(b"k", 149.0, 60.0) == ANSWER
    assert cache.find(b"k", 150.0, 600.0) is None
    assert cache.held == 0


@pytest.mark.parametrize("status", [199, 302, 400, 429, 500])
def test_only_successes_are_kept(status: int) -> None:
    assert not ResponseCache().keep(b"k", msgspec.structs.replace(ANSWER, status=status), 0.0, 60.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3000)), max_size=60))
def test_it_holds_no_more_than_it_may(puts: list[tuple[int, int]]) -> None:
    cache = ResponseCache(most_bytes=5_000, largest=2_500)
    for key, size in puts:
        cache.keep(bytes([key]), msgspec.structs.replace(ANSWER, body=b"x" * size), 0.0, 60.0)
        found = [cache.find(bytes([n]), 1.0, 60.0) for n in range(6)]
        assert cache.held == sum(stored.size for stored in found if stored is not None) <= 5_000


def test_what_was_used_last_stays() -> None:
    cache = ResponseCache(most_bytes=3 * ANSWER.size)
    for key in (b"a", b"b", b"c"):
        cache.keep(key, ANSWER, 0.0, 60.0)
    assert cache.find(b"a", 1.0, 60.0)
    cache.keep(b"d", ANSWER, 0.0, 60.0)
    assert [cache.find(key, 1.0, 60.0) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]


def test_a_stampede_leaves_one_whole_answer() -> None:
    """Identical requests that all missed are all answered by the provider; whichever ends last is what stays."""
    cache = ResponseCache()
    answers = [msgspec.structs.replace(ANSWER, body=str(n).encode()) for n in range(50)]
    assert [cache.find(b"k", 0.0, 60.0) for _ in answers] == [None] * 50
    for answer in answers:
        assert cache.keep(b"k", answer, 0.0, 60.0)
    assert cache.find(b"k", 1.0, 60.0) == answers[-1]
    assert cache.held == answers[-1].size


# Giving again


def test_a_whole_answer_and_a_stream_come_back_as_they_were() -> None:
    whole = replay(ANSWER, (("x-cache", "hit"),))
    assert isinstance(whole, Response)
    assert (whole.body, dict(whole.headers)["x-cache"]) == (ANSWER.body, "hit")
    events = b"data: x\n\n" * 20_000
    stream = replay(msgspec.structs.replace(ANSWER, stream=True, body=events))
    assert isinstance(stream, Stream)

    async def read() -> list[bytes]:
        return [piece async for piece in stream.chunks]

    pieces = asyncio.run(read())
    assert len(pieces) > 1
    assert b"".join(pieces) == events


def test_headers_of_another_exchange_are_not_kept() -> None:
    assert kept_headers((("content-type", "a/b"), ("x-request-id", "r"), ("x-headgate-cost", "1"), ("set-cookie", "s"))) == (
        ("content-type", "a/b"),
    )


def test_what_is_said_of_a_hit() -> None:
    assert dict(hit_headers(ANSWER, 14.9)) == {"x-cache": "hit", "age": "4", "x-headgate-cost": "0.00"}
    receipt = hit_receipt("01H", 20.0, ANSWER)
    assert (receipt.cost_nanos, receipt.usage.total, receipt.attempts) == (0, 0, ())
    assert "01R paid $0.0000012" in receipt.explanation
    assert "unknown price" in hit_receipt("01H", 20.0, msgspec.structs.replace(ANSWER, cost_nanos=None)).explanation


@given(st.lists(st.binary(max_size=20), max_size=10), st.integers(0, 60))
def test_bytes_are_collected_up_to_a_limit(pieces: list[bytes], limit: int) -> None:
    collected = Collected(limit)
    for piece in pieces:
        collected.feed(piece)
    whole = b"".join(pieces)
    assert collected.body == (whole if len(whole) <= limit else None)


# In a store


def test_processes_share_what_may_lie_on_disk(database: Store) -> None:
    async def main() -> None:
        one, other = (LayeredCache(ResponseCache(), AnswerStore(database)) for _ in range(2))
        assert await one.keep(b"k", ANSWER, 100.0, 50.0)
        assert await other.find(b"k", 120.0, 10.0) is None
        assert await other.find(b"k", 120.0, 30.0) == ANSWER
        assert other.memory.find(b"k", 149.0, 60.0) == ANSWER
        assert other.memory.find(b"k", 150.0, 60.0) is None
        await one.clear()
        assert await LayeredCache(ResponseCache(), AnswerStore(database)).find(b"k", 120.0, 30.0) is None

    asyncio.run(main())


def test_a_store_that_fails_costs_an_answer_anew(database: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cache = LayeredCache(ResponseCache(), AnswerStore(database))
        database.close()
        assert await cache.find(b"k", 100.0, 50.0) is None
        assert await cache.keep(b"k", ANSWER, 100.0, 50.0)
        assert await cache.find(b"k", 100.0, 50.0) == ANSWER

    asyncio.run(main())
    assert len([record for record in caplog.records if "does without its store" in record.message]) == 1


def test_the_store_is_bounded(database: Store) -> None:
    async def main() -> list[bool]:
        store = AnswerStore(database, most_bytes=3 * len(pack(ANSWER)))
        for n in range(6):
            await store.keep(bytes([n]), ANSWER, float(n), 50.0 if n else 1.0)
        assert await store.purge(2.0) == 3
        return [await store.find(bytes([n]), 2.0) is not None for n in range(6)]

    assert asyncio.run(main()) == [False, False, False, True, True, True]


def test_an_older_answer_does_not_replace_a_newer_one(database: Store) -> None:
    async def main() -> None:
        store = AnswerStore(database)
        await store.keep(b"k", ANSWER, 20.0, 60.0)
        await store.keep(b"k", msgspec.structs.replace(ANSWER, body=b"old"), 10.0, 60.0)
        row = await store.find(b"k", 30.0)
        assert row is not None
        assert row.stored == ANSWER

    asyncio.run(main())


@given(st.binary(), st.booleans())
def test_what_is_packed_is_unpacked(body: bytes, stream: bool) -> None:
    stored = msgspec.structs.replace(ANSWER, body=body, stream=stream)
    assert unpack(pack(stored)) == stored
