"""Identifiers, JSON and exports of receipts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.usage import Usage
from headgate.errors import StoreError
from headgate.ledger.export import LONGEST, export_jsonl, safe_name
from headgate.ledger.receipt import Attempt, Receipt, new_id, receipt_json

SMALL = Receipt(
    id="r1",
    at=1_763_700_000.25,
    face="cli",
    provider="openai",
    model="gpt-5",
    usage=Usage(input_uncached=1000, output_text=7),
    cost_nanos=1_320_000,
    attempts=(Attempt(provider="openai", model="gpt-5", status=200, started=1_763_700_000.25, cost_nanos=None),),
)


@given(st.floats(0, 2**47 / 1000), st.floats(0, 2**47 / 1000), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_identifiers_sort_by_time(one: float, other: float, noise: bytes, more: bytes) -> None:
    first, second = new_id(one, noise), new_id(other, more)
    assert len(first) == 26
    if int(one * 1000) < int(other * 1000):
        assert first < second
    if int(one * 1000) == int(other * 1000):
        assert (first < second) == (noise < more)


def test_an_identifier_as_the_ulid_specification_writes_it() -> None:
    assert new_id(1_469_918_176.385, bytes(10)) == "01ARYZ6S41" + "0" * 16
    assert new_id(1_469_918_176.385, b"\xff" * 10) == "01ARYZ6S41" + "Z" * 16
    with pytest.raises(ValueError, match="10 random bytes"):
        new_id(0.0, b"short")


def test_json_has_exact_dollars_and_no_binary_floats_of_money() -> None:
    document = receipt_json(SMALL)
    assert document["usd"] == "0.00132"
    assert document["at"] == "2025-11-21T04:40:00.250Z"
    assert document["usage"] == {
        "input_uncached": 1000,
        "output_text": 7,
        "input_total": 1000,
        "output_total": 7,
        "total": 1007,
        "source": "provider",
    }
    assert document["attempts"][0]["usd"] is None
    assert document["attempts"][0]["started"] == document["at"]
    assert not [key for key in document if "nanos" in key]
    assert json.loads(json.dumps(document)) == document


def test_export_is_whole_lines_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    assert export_jsonl(path, [SMALL, SMALL]) == 2
    assert [json.loads(line) for line in path.read_text().splitlines()] == [receipt_json(SMALL)] * 2

    def broken() -> object:
        yield SMALL
        raise KeyError("stop")

    with pytest.raises(KeyError):
        export_jsonl(path, broken())
    assert len(path.read_text().splitlines()) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["receipts.jsonl"]
    with pytest.raises(StoreError, match="could not be written"):
        export_jsonl(tmp_path / "absent" / "receipts.jsonl", [SMALL])


@given(st.text(max_size=300))
def test_names_stay_in_their_folder(text: str) -> None:
    name = safe_name(text)
    assert name
    assert not name.startswith(".")
    assert len(name) <= LONGEST + len("receipts-")
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>|\0\n ')
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("run 7", "run-7"),
        ("../../etc/passwd", "etc-passwd"),
        ("", "receipts"),
        ("con", "receipts-con"),
        ("NUL.txt", "receipts-NUL.txt"),
        ("…", "receipts"),
    ],
)
def test_some_names(text: str, name: str) -> None:
    assert safe_name(text) == name
