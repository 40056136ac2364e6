"""Receipts from templates: the same as those that are put together field by field."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.usage import BUCKETS, Usage
from headgate.gateway.fast.statement import figures_of, statement
from headgate.ledger import Attempt, Receipt
from headgate.ledger.rows import decoded, encoded, receipt_row
from headgate.testing.gateway import Rig
from headgate.testing.raw_http import RawWire, request_bytes

COUNTS = st.integers(1, 10**9)
SECONDS = st.floats(0.0, 1e5)
TEXT = st.text(max_size=20)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Receipt, Receipt]:
    """Two receipts that differ in figures alone."""
    used = draw(st.lists(st.sampled_from(BUCKETS), unique=True, min_size=1))
    names = draw(st.tuples(TEXT, TEXT, TEXT, TEXT))
    streamed, priced, named, bound, talked = (draw(st.booleans()) for _ in range(5))
    explanation = draw(TEXT)

    def one() -> Receipt:
        at, duration = draw(st.floats(1.0, 4e9)), draw(SECONDS)
        first = draw(SECONDS) if streamed else None
        cost = draw(st.integers(0, 10**15)) if priced else None
        request_id = draw(TEXT) if named else None
        return Receipt(
            id=draw(st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)),
            at=at,
            face="gateway",
            provider=names[0],
            model=names[1],
            model_answered=names[2] or None,
            stream=streamed,
            finish="stop",
            attempts=(
                Attempt(
                    provider=names[0],
                    model=names[1],
                    deployment=names[3],
                    status=200,
                    started=at,
                    duration=duration,
                    first_byte=first,
                    request_id=request_id,
                    cost_nanos=cost,
                ),
            ),
            usage=msgspec.convert({bucket: draw(COUNTS) for bucket in used}, Usage),
            cost_nanos=cost,
            price_rule="list:2026",
            unit_prices={"input_uncached": "0.1%d"},
            request_id=request_id,
            session=draw(TEXT) if talked else None,
            duration=duration,
            first_byte=first,
            key="k%s",
            tags=("100%",),
            explanation=explanation,
            bound_nanos=draw(st.integers(1, 10**15)) if bound else None,
        )

    return one(), one()


@given(pairs())
def test_a_template_writes_every_receipt_of_its_kind(pair: tuple[Receipt, Receipt]) -> None:
    pattern, other = pair
    made = statement(pattern, None)
    if made is None:
        assert _spelt_otherwise(pattern)
        return
    stored = made.stored(figures_of(other))
    assert decoded(stored) == other
    usage = other.usage
    row = made.row(other.id, other.at, (usage.input_total, usage.cache_read, usage.output_total, usage.output_reasoning), other.cost_nanos)
    assert (*row, stored.decode()) == receipt_row(other, stored)


def _spelt_otherwise(receipt: Receipt) -> bool:
    """Whether a number of the receipt is spelt in another way by Python than in what is stored, or a name is a mark."""
    figures = [receipt.at, receipt.duration, receipt.first_byte]
    return any(f"{one!r}".encode() != msgspec.json.encode(one) for one in figures if one is not None)


def chat(**fields: Any) -> bytes:
    body = {"model": "sim-openai/sim-small", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 50, **fields}
    return json.dumps(body).encode()


FIGURES = ("id", "at", "duration", "first_byte", "request_id", "attempts", "charges")


def _same(one: Receipt, other: Receipt) -> bool:
    plain = dict.fromkeys(FIGURES[:-2])
    bare = [msgspec.structs.replace(receipt, **{**plain, "id": "", "at": 0.0, "attempts": (), "charges": ()}) for receipt in (one, other)]
    return bare[0] == bare[1]


def test_the_second_receipt_is_like_the_first(rig: Rig) -> None:
    """The first of a kind is put together field by field, the next ones are written from its template."""
    before = len(rig.all_receipts())
    for stream in (False, True):
        for _ in range(3):
            with RawWire(int(rig.url.rpartition(":")[2])) as wire:
                body = chat(stream=stream)
                wire.send(request_bytes("POST", "/v1/chat/completions", body, key=rig.key))
                assert wire.reply().status == 200
    receipts = rig.receipts(before + 6)[before:]
    for group in (receipts[:3], receipts[3:]):
        first = group[0]
        for other in group[1:]:
            assert _same(first, other)
            (attempt,) = other.attempts
            assert (attempt.started, attempt.duration, attempt.first_byte) == (other.at, other.duration, other.first_byte)
            assert (attempt.cost_nanos, attempt.request_id) == (other.cost_nanos, other.request_id)
            assert encoded(other) and other.bound_nanos is not None and other.cost_nanos is not None
            assert other.cost_nanos <= other.bound_nanos
