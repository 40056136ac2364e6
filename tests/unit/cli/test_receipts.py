"""``headgate receipt``, ``why``, ``receipts …`` and ``usage``."""

from __future__ import annotations

import csv
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.assembly.parts import load_parts
from headgate.catalog.load import load_catalog
from headgate.cli.params import When
from headgate.ledger import Attempt, Ledger, Receipt
from headgate.testing.receipts import START, USAGE, priced_receipt
from headgate.wire.json import Json, decode

pytest_plugins = ["headgate.testing.pytest_plugin"]

Command = Callable[..., Json]
CARD = load_catalog().find("openai", "gpt-5")
assert CARD is not None
RECORD = CARD.price_on("2026-11-30")


def booked(number: int, **changes: object) -> Receipt:
    return priced_receipt(number, USAGE, RECORD, **changes)


@pytest.fixture
def write(headgate_environment: Path) -> Callable[..., None]:
    """Put receipts into the ledger of the commands."""

    def put(*receipts: Receipt) -> None:
        ledger = load_parts().ledger()
        for receipt in receipts:
            ledger.record_now(receipt)
        ledger.close()

    return put


@pytest.fixture
def ledger_file(headgate_environment: Path) -> Path:
    return load_parts().settings.ledger_file


def test_a_receipt_line_by_line(headgate: Command, write: Callable[..., None]) -> None:
    write(
        booked(
            0,
            key="k1",
            team="red",
            run="nightly",
            tags=("agent:planner",),
            explanation="openai is cheapest",
            bound_nanos=12_345_678,
            attempts=(
                Attempt(provider="groq", model="llama", status=503, kind="overloaded", started=START, duration=0.25, cost_nanos=0),
                Attempt(provider="openai", model="gpt-5", account="eu", status=200, started=START + 1, duration=0.5, request_id="req_1"),
            ),
        )
    )
    done = headgate("receipt", "last", code=0)
    digest = RECORD.digest if RECORD is not None else ""
    assert done.out == (
        f"""receipt 01000000000000000000000000
2026-11-30 12:00:00 UTC  ok
openai/gpt-5, account default
gateway, chat, realtime, 1.500 s
paid by     key k1, team red
tags        agent:planner
run         nightly
route       openai is cheapest
price       {RECORD.rule if RECORD is not None else ""} ({digest})

used            count      $  per       $ in all
--------------  -----  -----  --------  --------
input_uncached  1,200   1.25  M tokens    0.0015
cache_read        800  0.125  M tokens    0.0001
output_text       300     10  M tokens     0.003

exact       $0.0046
charged     $0.0046
reserved    $0.012345678 at most
cache saved $0.0009

   attempt       account  status  error          took   cost  provider's id
-  ------------  -------  ------  ----------  -------  -----  -------------
1  groq/llama    default     503  overloaded  0.250 s  $0.00
2  openai/gpt-5  eu          200              0.500 s      —  req_1
"""
    )


def test_a_receipt_as_json(headgate: Command, write: Callable[..., None]) -> None:
    write(booked(0, key="k1"))
    document = headgate("receipt", "01000000", "--json", code=0).json()
    assert (document["id"], document["usd"], document["bill"]["cache_saved_usd"]) == (booked(0).id, "0.0046", "0.0009")
    assert document["corrections"] == [] and document["why"].startswith("At 2026-11-30")


def test_finding_a_receipt(headgate: Command, write: Callable[..., None]) -> None:
    assert "there are no receipts yet" in headgate("receipt", "last", code=2).err
    write(booked(1), booked(2))
    assert "several receipts begin with '01'" in headgate("receipt", "01", code=2).err
    assert "there is no receipt '02'" in headgate("why", "02", code=2).err
    assert headgate("why", booked(2).id, code=0).out == headgate("why", "last", code=0).out


def test_terminals_are_not_driven_by_receipts(headgate: Command, write: Callable[..., None]) -> None:
    write(booked(1, model="\x1b]0;evil\x07", explanation="\x1b[2J", tags=("\u202ex",)))
    for arguments in (("receipt", "last"), ("why", "last"), ("receipts", "ls"), ("usage",)):
        out = headgate(*arguments, code=0).out
        assert not set(out) & {"\x1b", "\x07", "\u202e"}


def test_listing(headgate: Command, write: Callable[..., None]) -> None:
    assert headgate("receipts", "ls", code=0).err == "no receipts\n"
    write(booked(1, run="a"), booked(2, status="error", error="timeout", cost_nanos=None), booked(3, key="k1"))
    lines = headgate("receipts", "ls", code=0).out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [booked(number).id for number in (3, 2, 1)]
    assert "timeout" in lines[3] and "unpriced" in lines[3]
    for option, value in (("--run", "a"), ("--until", "2026-11-30T12:01:30Z"), ("-n", "1")):
        assert len(headgate("receipts", "ls", option, value, "--json", code=0).json()) == 1
    assert [entry["id"] for entry in headgate("receipts", "ls", "--status", "error", "--json", code=0).json()] == [booked(2).id]
    assert headgate("receipts", "ls", "--since", "soon", code=2).out == ""


def test_export(headgate: Command, write: Callable[..., None], tmp_path: Path) -> None:
    write(booked(1, model="=1+1"), booked(2))
    ids = [booked(2).id, booked(1).id]
    assert [decode(line)["id"] for line in headgate("receipts", "export", code=0).out.splitlines()] == ids
    target = tmp_path / "out.csv"
    done = headgate("receipts", "export", "--format", "csv", "--excel-safe", "-o", str(target), code=0)
    assert done.err == f"2 receipts written to {target}\n"
    with target.open(newline="", encoding="utf-8") as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["gpt-5", "'=1+1"]
    assert "--excel-safe is for CSV" in headgate("receipts", "export", "--excel-safe", code=2).err
    assert headgate("receipts", "export", "-o", str(tmp_path / "no" / "x"), code=1).err.startswith(
        "error: the receipts could not be written"
    )


def test_verify(headgate: Command, write: Callable[..., None], ledger_file: Path) -> None:
    write(booked(1), booked(2), booked(3))
    before = headgate("receipts", "verify", code=0).out
    assert before.startswith("3 receipts, 0 findings\nhead 3:")
    head = before.split()[-1]
    write(booked(4))
    assert headgate("receipts", "verify", "--head", head, code=0).out.startswith("4 receipts, 0 findings")
    assert headgate("receipts", "verify", "--head", f"3:{'0' * 64}", code=1).out.startswith("3: noted_head: ")
    assert "is no head" in headgate("receipts", "verify", "--head", "x", code=2).err
    with sqlite3.connect(ledger_file) as connection:
        connection.execute("UPDATE receipt SET cost_nanos = 1 WHERE seq = 2")
    connection.close()
    assert headgate("receipts", "verify", code=1).out.startswith(f"2: columns: cost_nanos of the receipt {booked(2).id} contradict")
    (finding,) = headgate("receipts", "verify", "--json", code=1).json()["findings"]
    assert (finding["kind"], finding["seq"]) == ("columns", 2)


def test_recompute(headgate: Command, write: Callable[..., None]) -> None:
    write(booked(1), priced_receipt(2))
    done = headgate("receipts", "recompute", code=0)
    assert done.out == f"2 receipts: 2 exact\nprice record {priced_receipt(2).price_digest} of 1 receipts is not in this catalog\n"
    write(booked(3, cost_nanos=1))
    assert headgate("receipts", "recompute", code=1).out.startswith(f"{booked(3).id}: differs: $0.000000001 is stored, $0.0046 computed\n")
    document = headgate("receipts", "recompute", "--json", code=1).json()
    assert document["verdicts"] == {"exact": 2, "differs": 1}
    assert [problem["id"] for problem in document["problems"]] == [booked(3).id]


OPENAI = "start_time,end_time,num_model_requests,model,input_tokens,output_tokens\n1796040000,1796126400,{},gpt-5-2025-08-07,{},{}\n"


def test_reconcile(headgate: Command, write: Callable[..., None], tmp_path: Path) -> None:
    write(booked(1), booked(2), booked(3, provider="groq"), booked(4, at=START + 86400 * 5))
    file = tmp_path / "usage.csv"
    file.write_text(OPENAI.format(2, 4000, 600), encoding="utf-8")
    done = headgate("receipts", "reconcile", str(file), code=0)
    assert done.out.startswith("openai, openai-usage, 2026-11-30 to 2026-11-30: 1 of 1 lines agree")
    file.write_text(OPENAI.format(2, 4021, 600), encoding="utf-8")
    off = headgate("receipts", "reconcile", str(file), code=7)
    line = off.out.splitlines()[4].split()
    assert line == ["2026-11-30", "gpt-5", "4,021", "input", "4,000", "input", "0.52%", "differs"]
    assert headgate("receipts", "reconcile", str(file), "--tolerance", "0.6", code=0).err == ""
    assert headgate("receipts", "reconcile", str(file), "--account", "eu", "--json", code=7).json()["rows"][0]["verdict"] == "only_invoice"


def test_reconcile_any_file(headgate: Command, write: Callable[..., None], tmp_path: Path) -> None:
    write(booked(1, provider="groq"), booked(2, provider="groq", cost_nanos=None))
    file = tmp_path / "bill.csv"
    file.write_text("Date,Product,USD\n2026-11-30,gpt-5,0.0046\n", encoding="utf-8")
    columns = ("--column", "day=Date", "--column", "model=Product", "--column", "cost=USD")
    assert "whose invoice is it?" in headgate("receipts", "reconcile", str(file), *columns, code=2).err
    row = headgate("receipts", "reconcile", str(file), *columns, "-p", "groq", "--json", code=7).json()["rows"][0]
    assert (row["verdict"], row["drift"], row["ledger"]["unpriced"]) == ("unpriced", "0", 1)
    assert "none of the exports" in headgate("receipts", "reconcile", str(file), code=2).err
    file.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in headgate("receipts", "reconcile", str(file), code=2).err


def test_an_invoice_may_use_the_name_that_is_shown(headgate: Command, write: Callable[..., None], tmp_path: Path) -> None:
    card = next(card for card in load_catalog().cards if card.provider == "anthropic" and card.status == "active")
    write(booked(1, provider="anthropic", model=card.id))
    file = tmp_path / "cost.csv"
    file.write_text(f"usage_date_utc,model,cost_usd\n2026-11-30,{card.display_name},0.0046\n", encoding="utf-8")
    assert headgate("receipts", "reconcile", str(file), code=0).err == ""


def test_prune(headgate: Command, write: Callable[..., None]) -> None:
    write(booked(1), booked(2), booked(3))
    assert headgate("receipts", "prune", "--before", "2026-11-30T12:02:30Z", code=130).out == ""
    assert headgate("receipts", "prune", "--before", "2026-11-30T12:02:30Z", "-y", code=0).out == "2 receipts deleted\n"
    assert headgate("receipts", "verify", code=0).out.startswith("1 receipts, 0 findings (those up to 2 have been pruned)\n")


def test_usage(headgate: Command, write: Callable[..., None]) -> None:
    assert headgate("usage", code=0).err == "nothing was used\n"
    write(booked(1), booked(2, key="k1", cost_nanos=None), booked(1440 * 2))
    lines = headgate("usage", "--by", "day", code=0).out.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["2026-11-30", "2", "0", "4,000", "1,600", "600", "0.0046", "1"],
        ["2026-12-02", "1", "0", "2,000", "800", "300", "0.0046", "0"],
        ["total", "3", "0", "6,000", "2,400", "900", "0.0092", "1"],
    ]
    document = headgate("usage", "--by", "key", "--json", code=0).json()
    assert [(row["label"], row["usd"]) for row in document["rows"]] == [("", "0.0092"), ("k1", "0.00")]
    assert headgate("usage", "--since", "2026-12-01", "--json", code=0).json()["total"]["calls"] == 1
    assert headgate("usage", "--key", "k1", "--json", code=0).json()["total"]["calls"] == 1
    assert headgate("usage", "--since", "2027-01-01", code=0).err == "nothing was used\n"


def test_the_ledger_is_made_where_there_is_none(headgate: Command, ledger_file: Path) -> None:
    assert headgate("receipts", "verify", code=0).out.startswith("0 receipts, 0 findings")
    Ledger.open(ledger_file).close()


MOMENTS = {
    "2026-11-30": 1_795_996_800.0,
    "2026-11-30T12:00": 1_796_040_000.0,
    "2026-11-30T12:00:00Z": 1_796_040_000.0,
    "2026-11-30T14:00:00+02:00": 1_796_040_000.0,
}


@pytest.mark.parametrize("text", MOMENTS)
def test_moments(text: str) -> None:
    assert When().convert(text, None, None) == MOMENTS[text]


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604_800), ("12h", 43_200), ("30m", 1800)])
def test_moments_that_are_so_long_ago(text: str, seconds: int) -> None:
    before = time.time()
    assert before - seconds <= When().convert(text, None, None) <= time.time() - seconds
