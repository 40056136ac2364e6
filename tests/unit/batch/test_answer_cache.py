"""Answers of earlier runs: what makes two requests the same, what is kept, and how much."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.assembly.parts import load_parts
from headgate.batch import answer_cache
from headgate.batch.answer_cache import LIFETIME, MIGRATIONS, AnswerCache, answer_key
from headgate.catalog.resolve import resolve
from headgate.client import Target
from headgate.domain.content import Text, Thinking, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.store import Database
from headgate.wire.json import encode

pytest_plugins = ["headgate.testing.pytest_plugin"]

ANSWER = Response(
    id="r1",
    model="m-1",
    choices=(Choice(content=(Thinking("hm", "sig"), Text("ü"), ToolCall("1", "t", '{"a": 1}')), finish=Finish.TOOL_CALLS, logprobs=[1.5]),),
    usage=Usage(input_uncached=5),
    dialect="openai_chat",
    extra={"x": None},
)


def target_of(name: str) -> Target:
    parts = load_parts()
    return parts.target(resolve(name, None, parts.catalog, parts.providers))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "answers.db", migrations=MIGRATIONS) as database:
        yield database


@pytest.mark.usefixtures("headgate_environment", "headgate_sim")
def test_requests_differ_in_any_part() -> None:
    targets = [target_of(name) for name in ("sim-openai/sim-small", "sim-openai/sim-large", "sim-groq/sim-small")]
    targets.append(msgspec.structs.replace(targets[0], origin=msgspec.structs.replace(targets[0].origin, host="elsewhere")))
    keys = [answer_key(target, body, copy) for target in targets for body in (b"{}", b"{ }") for copy in (0, 1)]
    assert len(set(keys)) == len(keys) == 16
    assert answer_key(targets[0], b"{}") == keys[0]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8", exclude_categories=("Cs",))),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=("Cs",))), inner),
    )
)
def test_a_request_that_was_stored_has_the_bytes_it_had(value: object) -> None:
    """A batch's requests are kept as values in a segment; the key is over the bytes."""
    body = encode(value)
    assert encode(msgspec.json.decode(encode({"body": msgspec.Raw(body)}))["body"]) == body


def test_an_answer_comes_back_without_its_bill(store: Database) -> None:
    async def main() -> None:
        cache = AnswerCache(store)
        await cache.keep({b"k": ANSWER}, 100.0)
        assert await cache.find([b"k", b"other"], 200.0, 150.0) == {b"k": msgspec.structs.replace(ANSWER, usage=None)}
        assert await cache.find([b"k"], 200.0, 100.0) == {}
        assert await cache.find([b"k"], 100.0 + LIFETIME, 150.0) == {}
        assert await cache.find([], 200.0, 150.0) == {}

    asyncio.run(main())


def test_what_is_large_old_or_unreadable_is_left_out(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        cache = AnswerCache(store, most_bytes=1000)
        await cache.keep({b"large": msgspec.structs.replace(ANSWER, id="x" * 900)}, 1.0)
        await store.write(lambda db: db.execute("INSERT INTO cached_answer VALUES (?, 1.0, 900.0, 2, ?)", (b"odd", b"{]")))
        assert await cache.find([b"large", b"odd"], 2.0, 2.0) == {}
        for n in range(9):
            await cache.keep({b"%d" % n: ANSWER}, 10.0 + n)
        assert await cache.purge(1000.0) == 1 + 9 - 1000 // len(encode(msgspec.structs.replace(ANSWER, usage=None)))
        assert set(await cache.find([b"%d" % n for n in range(9)], 20.0, 20.0)) >= {b"8"}
        assert await cache.find([b"0"], 20.0, 20.0) == {}

    monkeypatch.setattr(answer_cache, "LARGEST", 700)
    asyncio.run(main())
