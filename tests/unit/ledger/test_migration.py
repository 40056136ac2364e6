"""A ledger of the first schema is carried over whole."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from headgate.dialects.base import Note
from headgate.domain.usage import BUCKETS, Usage
from headgate.ledger import Attempt, Ledger, Receipt
from headgate.ledger.receipt import Filter, Settlement, sum_totals
from headgate.store.schema import migrate
from headgate.store.statements import load_migrations

FULL = Receipt(
    id="01FULL",
    at=1_763_700_000.1234567,
    face="gateway",
    provider="anthropic",
    account="work",
    model="claude-sonnet-5-5",
    model_answered="claude-sonnet-5-5",
    dialect_in="openai_chat",
    dialect_out="anthropic_messages",
    stream=True,
    status="error",
    finish="stop",
    error="overloaded",
    attempts=(Attempt(provider="openai", model="gpt-5", status=529, kind="overloaded", started=1.5, duration=0.25),),
    usage=Usage(
        **{bucket: index for index, bucket in enumerate(BUCKETS)}, fees={"web_search": 2}, source="estimated", native={"a": {"b": None}}
    ),
    cost_nanos=2**62,
    price_rule="anthropic/claude-sonnet-5-5@2026-10-14",
    price_digest="abcd",
    unit_prices={"output_text": "10"},
    notes=(Note("seed", "dropped", "not “supported”"),),
    run="run1",
    step="play",
    unit="u7",
    attempt=2,
    request_id="req_1",
    duration=1.25,
    first_byte=0.1 + 0.2,
)
BARE = Receipt(id="02BARE", at=1_763_700_001.0, face="library", provider="openai", model="gpt-5")
PART = Receipt(id="03PART", at=1_763_700_002.0, face="run", provider="openai", model="gpt-5", lane="batch", cost_nanos=5, submission="s")

_DETAILED = ("attempts", "notes", "unit_prices", "operation")


def old_row(receipt: Receipt) -> dict[str, object]:
    """A row as the first schema had it."""
    whole = json.loads(json.dumps({name: getattr(receipt, name) for name in receipt.__struct_fields__}, default=_plain))
    usage = receipt.usage
    detail = {name: whole[name] for name in _DETAILED if whole[name]} | ({"fees": usage.fees} if usage.fees else {})
    if usage.native is not None:
        detail["native"] = usage.native
    return {
        **whole,
        **{bucket: getattr(usage, bucket) for bucket in BUCKETS},
        "stream": int(receipt.stream),
        "usage_source": usage.source,
        "detail": json.dumps(detail),
    }


def _plain(value: object) -> object:
    names = getattr(value, "__struct_fields__", ())
    return {name: getattr(value, name) for name in names}


def old_ledger(path: Path, receipts: tuple[Receipt, ...], settlement: Settlement) -> None:
    """Write a ledger as version 1 of the schema did."""
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, "ledger", load_migrations("ledger")[:1], path)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(settlement)")]
    values = {name: getattr(settlement, name, getattr(settlement.usage, name, None)) for name in columns} | {"key": "s"}
    connection.execute(f"INSERT INTO settlement VALUES ({', '.join(f':{name}' for name in columns)})", values)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(receipt)")]
    for receipt in receipts:
        row = old_row(receipt)
        connection.execute(
            f"INSERT INTO receipt VALUES ({', '.join(f':{name}' for name in columns)})", {name: row[name] for name in columns}
        )
    connection.close()


def test_every_receipt_of_the_first_schema_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    whole = Settlement(at=3.0, provider="openai", model="gpt-5", calls=1, usage=Usage(output_text=4), cost_nanos=5)
    old_ledger(path, (FULL, BARE, PART), whole)
    ledger = Ledger.open(path)
    assert ledger.get("01FULL") == FULL
    assert ledger.list() == (PART, BARE, FULL)
    assert ledger.list(Filter(before=(FULL.at, FULL.id))) == ()
    assert ledger.settled("s")
    assert not ledger.record_now(BARE)
    total = sum_totals(ledger.totals())
    assert (total.calls, total.cost_nanos, total.unpriced) == (3, 2**62 + 5, 1)
    assert (total.input_tokens, total.output_tokens) == (FULL.usage.input_total, FULL.usage.output_total + 4)
    assert ledger.record_now(Receipt(id="04NEW", at=4.0, face="cli", provider="openai", model="gpt-5"))
    rows = ledger.database.read(lambda connection: connection.execute("SELECT seq, id, hash FROM receipt ORDER BY seq").fetchall())
    assert [(row[0], row[1], row[2] is None) for row in rows] == [
        (1, "01FULL", True),
        (2, "02BARE", True),
        (3, "03PART", True),
        (4, "04NEW", False),
    ]
    ledger.close()


def test_an_empty_ledger_of_the_first_schema_becomes_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, "ledger", load_migrations("ledger")[:1], path)
    connection.close()
    ledger = Ledger.open(path)
    assert ledger.record_now(FULL)
    assert ledger.get(FULL.id) == FULL
    ledger.close()
