"""Whatever is changed in a stored receipt is found."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from headgate.domain.usage import Usage
from headgate.ledger import Ledger, Settlement
from headgate.ledger.proof import Head, Link, head_text, read_head, verify_chain
from headgate.ledger.retention import prune
from headgate.ledger.verify import recompute_all, verify
from headgate.testing.receipts import PRICE, START, USAGE, priced_receipt

COUNT = 7
TEXTS = (
    "id",
    "face",
    "provider",
    "account",
    "model",
    "lane",
    "status",
    "key_id",
    "team",
    "user_name",
    "tenant",
    "run",
    "submission",
    "detail",
)
OTHERS = """at, face, provider, account, model, lane, status, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nanos,
    key_id, team, user_name, tenant, run, submission, hash, detail"""
NUMBERS = ("at", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_nanos")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("proof") / "ledger.db"
    ledger = Ledger.open(path)
    for number in range(COUNT - 1):
        who = {"key": "k1", "team": "red", "user": "ann", "tenant": "team:red", "run": "r", "tags": ("a", "ü")} if number % 2 else {}
        ledger.record_now(priced_receipt(number, **who))
    part = priced_receipt(COUNT - 1, lane="batch")
    totals = Settlement(at=START, provider="openai", model="gpt-5", calls=1, usage=USAGE, cost_nanos=part.cost_nanos or 0)
    ledger.settle_now("batch1", totals, (part,))
    ledger.close()
    return path


def findings(path: Path, noted: Head | None = None) -> list[str]:
    ledger = Ledger.open(path)
    try:
        return [finding.kind for finding in verify(ledger.database, noted).findings]
    finally:
        ledger.close()


def tampered(original: Path, folder: Path, *statements: tuple[str, tuple[object, ...]]) -> Path:
    path = folder / "copy.db"
    shutil.copy(original, path)
    connection = sqlite3.connect(path)
    with connection:
        for sql, values in statements:
            connection.execute(sql, values)
    connection.close()
    return path


def test_an_untouched_ledger_holds(original: Path) -> None:
    ledger = Ledger.open(original)
    found = verify(ledger.database)
    assert (found.receipts, found.unchained, found.findings, found.head.seq) == (COUNT, 0, (), COUNT)
    assert verify(ledger.database, found.head).findings == ()
    assert read_head(head_text(found.head)) == found.head
    assert [one.verdict for one in recompute_all(ledger.database, {PRICE.digest: PRICE})] == ["exact"] * COUNT
    ledger.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_any_cell_is_found(original: Path, tmp_path: Path, data: st.DataObject) -> None:
    seq = data.draw(st.integers(1, COUNT))
    column = data.draw(st.sampled_from((*TEXTS, *NUMBERS, "hash")))
    connection = sqlite3.connect(original)
    (old,) = connection.execute(f"SELECT {column} FROM receipt WHERE seq = ?", (seq,)).fetchone()
    connection.close()
    raw = old if isinstance(old, bytes) else str(old).encode()
    position = data.draw(st.integers(0, len(raw) - 1))
    if column == "hash":
        new: object = raw[:position] + bytes([raw[position] ^ data.draw(st.integers(1, 255))]) + raw[position + 1 :]
    elif column in NUMBERS:
        new = old + data.draw(st.sampled_from([-1, 1, 1000]))
    else:
        text = raw.decode("utf-8", "ignore")
        place = min(position, len(text) - 1)
        new = (
            text[:place]
            + data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda c: c != text[place]))
            + text[place + 1 :]
        )
    try:
        path = tampered(original, tmp_path, (f"UPDATE receipt SET {column} = ? WHERE seq = ?", (new, seq)))
    except sqlite3.IntegrityError:
        assume(False)
    assert findings(path)


ATTACKS: dict[str, tuple[tuple[tuple[str, tuple[object, ...]], ...], str]] = {
    "one is deleted": ((("DELETE FROM receipt WHERE seq = 3", ()),), "missing"),
    "the first is deleted": ((("DELETE FROM receipt WHERE seq = 1", ()),), "missing"),
    "the last is deleted": ((("DELETE FROM receipt WHERE seq = 7", ()),), "head"),
    "all are deleted": ((("DELETE FROM receipt", ()),), "head"),
    "two change places": (
        (
            ("UPDATE receipt SET seq = 99 WHERE seq = 2", ()),
            ("UPDATE receipt SET seq = 2 WHERE seq = 3", ()),
            ("UPDATE receipt SET seq = 3 WHERE seq = 99", ()),
        ),
        "altered",
    ),
    "one is put before": (((f"INSERT INTO receipt SELECT -1, 'x', {OTHERS} FROM receipt WHERE seq = 1", ()),), "extra"),
    "one is put behind": ((("UPDATE chain SET seq = seq - 1 WHERE name = 'receipt'", ()),), "head"),
    "a hash is taken away": ((("UPDATE receipt SET hash = NULL WHERE seq = 4", ()),), "unchained"),
    "the head is taken away": ((("DELETE FROM chain", ()),), "head"),
    "it is no receipt": ((("UPDATE receipt SET detail = '[]' WHERE seq = 4", ()),), "unreadable"),
    "a balance is charged otherwise": (
        (("UPDATE receipt SET detail = replace(detail, '}', ',\"charges\":[[1,5]]}') WHERE seq = 4", ()),),
        "altered",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(name: str, original: Path, tmp_path: Path) -> None:
    statements, kind = ATTACKS[name]
    assert kind in findings(tampered(original, tmp_path, *statements))


def test_who_rewrites_everything_is_caught_by_a_head_that_was_noted(tmp_path: Path) -> None:
    heads: list[Head] = []
    for name, cost in (("true.db", 1), ("forged.db", 2)):
        ledger = Ledger.open(tmp_path / name)
        ledger.record_now(priced_receipt(1, cost_nanos=cost))
        heads.append(verify(ledger.database).head)
        ledger.close()
    assert findings(tmp_path / "forged.db") == []
    assert findings(tmp_path / "forged.db", heads[0]) == ["noted_head"]
    assert findings(tmp_path / "true.db", heads[0]) == []


def test_pruning_keeps_the_rest_provable(original: Path, tmp_path: Path) -> None:
    path = tampered(original, tmp_path)
    ledger = Ledger.open(path)
    charged = priced_receipt(100, charges=((3, 11), (4, 5)))
    ledger.record_now(charged)
    late = priced_receipt(101, charges=((3, 1),))
    ledger.record_now(late)
    ledger.database.write_now(lambda c: c.execute("INSERT INTO balance (n, budget, subject, starts) VALUES (3, 'b', 's', 0)").rowcount)
    done = prune(ledger.database, late.at, now=1.0)
    assert (done.receipts, done.seq) == (COUNT + 1, COUNT + 1)
    assert ledger.get(charged.id) is None and ledger.get(late.id) == late
    found = verify(ledger.database)
    assert (found.receipts, found.findings, found.start.seq) == (1, (), COUNT + 1)
    posted = ledger.database.read(lambda c: c.execute("SELECT kind, balance, nanos FROM posting ORDER BY balance").fetchall())
    assert posted == [("pruned", 3, 11)], "the balance 4 is not there any more"
    assert prune(ledger.database, late.at, now=1.0).receipts == 0
    assert prune(ledger.database, late.at + 1, now=1.0).receipts == 1
    assert verify(ledger.database).findings == ()
    ledger.record_now(priced_receipt(102))
    assert (verify(ledger.database).receipts, verify(ledger.database).findings) == (1, ())
    ledger.close()
    assert findings(tampered(path, tmp_path / "..", ("UPDATE chain SET seq = seq - 1 WHERE name = 'pruned'", ()))) == ["missing"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield opened
    opened.close()


def test_writing_proving_and_pruning_on_any_store(ledger: Ledger) -> None:
    for number in range(9):
        ledger.record_now(priced_receipt(number, tags=("ü",), charges=((1, number),)))
    found = verify(ledger.database)
    assert (found.receipts, found.findings) == (9, ())
    assert {one.verdict for one in recompute_all(ledger.database, {PRICE.digest: PRICE})} == {"exact"}
    ledger.database.write_now(lambda c: c.execute("INSERT INTO balance (budget, subject, starts) VALUES ('b', 's', 0)").rowcount)
    assert prune(ledger.database, START + 60 * 4, now=5.0).receipts == 4
    assert (verify(ledger.database).receipts, verify(ledger.database).findings) == (5, ())
    assert ledger.database.read(lambda c: c.execute("SELECT at, kind, balance, nanos FROM posting").fetchall()) == [(5.0, "pruned", 1, 6)]
    ledger.database.write_now(lambda c: c.execute("UPDATE receipt SET detail = replace(detail, 'gpt-5', 'gpt-6') WHERE seq = 7").rowcount)
    assert [finding.kind for finding in verify(ledger.database).findings] == ["altered", "columns"]


def test_pruning_stops_at_the_first_that_is_young_enough(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    for number in (1, 5, 2, 3):
        ledger.record_now(priced_receipt(number))
    assert prune(ledger.database, START + 60 * 4, now=0.0).receipts == 1
    assert verify(ledger.database).findings == ()
    ledger.close()


def test_receipts_from_before_the_chain_are_told_apart(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.db")
    ledger.record_now(priced_receipt(1, Usage()))
    ledger.database.write_now(lambda c: c.execute("UPDATE receipt SET hash = NULL") and c.execute("UPDATE chain SET hash = zeroblob(32)"))
    ledger.record_now(priced_receipt(2))
    found = verify(ledger.database)
    assert (found.receipts, found.unchained, found.findings) == (2, 1, ())
    ledger.close()


def test_the_chain_of_nothing() -> None:
    start = Head(0, bytes(32))
    assert list(verify_chain((), start, start)) == []
    assert [finding.kind for finding in verify_chain((Link(1, bytes(32), b"x"),), start, None)] == ["altered"]


@pytest.mark.parametrize("text", ["", "1", "1:zz", "x:00", "1:00"])
def test_a_head_that_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        read_head(text)
