"""A run's receipts as JSON lines: PAS-31's fields, safe names, whole lines, and nobody waits for the disk."""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.usage import Usage
from headgate.ledger import Attempt, Receipt
from headgate.ledger.cost_line import cost_line, file_name, six_places
from headgate.ledger.jsonl import FOLDER, JsonlReceipts, append_lines
from headgate.testing.receipts import priced_receipt
from headgate.wire.json import JsonObject, decode, encode


def lines(path: Path) -> list[JsonObject]:
    return [decode(line) for line in path.read_bytes().splitlines()]


def test_golden() -> None:
    receipt = priced_receipt(1, run="nightly", tags=("agent:planner",))
    assert encode(cost_line(receipt)).decode() == (
        '{"request_id":"01000000000000000000000001","run_id":"nightly","agent":"planner","timestamp":"2026-11-30T12:01:00.000Z",'
        '"provider":"openai","model":"gpt-5","input_tokens":2000,"output_tokens":300,"cost_usd":0.004600,"cost_nanos":4600000,'
        '"latency_ms":1500.0,"status":"success","lane":"realtime","attempts":1}'
    )


def tried(*attempts: tuple[str, int]) -> tuple[Attempt, ...]:
    return tuple(Attempt(provider=provider, model="m", status=status) for provider, status in attempts)


WORDS: dict[str, tuple[Receipt, tuple[str, str | None, str | None]]] = {
    "answered": (priced_receipt(1), ("success", None, None)),
    "by another": (priced_receipt(1, attempts=tried(("a", 429), ("b", 200))), ("fallback", None, "a/m")),
    "by the same in the end": (priced_receipt(1, attempts=tried(("a", 429), ("a", 200))), ("success", None, None)),
    "failed everywhere": (
        priced_receipt(1, status="error", error="server", attempts=tried(("a", 500), ("b", 500))),
        ("error", "server", "a/m"),
    ),
    "too slow": (priced_receipt(1, status="error", error="timeout", attempts=()), ("timeout", "timeout", None)),
    "left": (priced_receipt(1, status="cancelled"), ("error", None, None)),
}


@pytest.mark.parametrize("name", WORDS)
def test_status_words(name: str) -> None:
    receipt, expected = WORDS[name]
    line = cost_line(receipt)
    assert (line["status"], line.get("error_message"), line.get("fallback_from")) == expected


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(None, None), (0, b"0.000000"), (500, b"0.000001"), (499, b"0.000000"), (-500, b"-0.000001"), (10**15, b"1000000.000000")],
)
def test_six_places_half_up(nanos: int | None, text: bytes | None) -> None:
    found = six_places(nanos)
    assert (None if found is None else bytes(found)) == text


def test_unpriced_is_null() -> None:
    assert decode(encode(cost_line(priced_receipt(1, Usage(output_text=1), None))))["cost_usd"] is None


NAMES = [
    "a",
    "A",
    "a/b",
    "a-b",
    "../../etc/passwd",
    "..",
    ".",
    "con",
    "CON",
    "nul.jsonl",
    "a\0b",
    "a\\b",
    "ü",
    "x" * 300,
    "-",
    "a.1",
    "default",
    "",
]


def test_names_stay_in_their_folder_and_apart() -> None:
    found = {name: file_name(name) for name in NAMES}
    assert found["a"] == "a.jsonl" and found["a-b"] == "a-b.jsonl"
    assert file_name(None) == found["default"] == found.pop("") == "default.jsonl"
    assert len({name.casefold() for name in found.values()}) == len(found)
    for name in found.values():
        assert name.isascii() and len(name) <= 80 and not name.startswith(".") and "/" not in name and name == name.lower()


@given(st.text(max_size=100), st.text(max_size=100))
def test_two_runs_never_share_a_file(one: str, other: str) -> None:
    assert ((one or "default") == (other or "default")) == (file_name(one).casefold() == file_name(other).casefold())
    assert os.path.basename(file_name(one)) == file_name(one)


def test_receipts_are_in_the_files_of_their_runs(tmp_path: Path) -> None:
    sink = JsonlReceipts(tmp_path, interval=60.0)
    for number in range(20):
        sink.add(priced_receipt(number, run=("a", None)[number % 2]))
    sink.close()
    sink.close()
    folder = tmp_path / FOLDER
    assert sorted(path.name for path in folder.iterdir()) == ["a.jsonl", "default.jsonl"]
    assert [line["request_id"] for line in lines(folder / "a.jsonl")] == [priced_receipt(number).id for number in range(0, 20, 2)]
    assert (sink.dropped, sink.failed) == (0, 0)
    assert stat.S_IMODE((folder / "a.jsonl").stat().st_mode) == 0o600


def test_full_files_are_put_aside(tmp_path: Path) -> None:
    for number in range(5):
        append_lines(tmp_path, "a.jsonl", [b"%d" % number * 10], 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.1.jsonl", "a.2.jsonl", "a.jsonl"]
    assert [line for name in ("a.1.jsonl", "a.2.jsonl", "a.jsonl") for line in (tmp_path / name).read_bytes().split()] == [
        b"%d" % number * 10 for number in range(5)
    ]


def test_links_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.jsonl").symlink_to(victim)
    with pytest.raises(OSError):
        append_lines(folder, "a.jsonl", [b"x"], 100)
    assert victim.read_text() == "mine"


def test_many_writers_lose_no_line(tmp_path: Path) -> None:
    def write(who: int) -> None:
        for number in range(50):
            append_lines(tmp_path, "a.jsonl", [b'{"who":%d,"n":%d}' % (who, number)], 500)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(line["who"], line["n"]) for path in tmp_path.iterdir() for line in lines(path)]
    assert sorted(found) == [(who, number) for who in range(4) for number in range(50)]


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_lines(tmp_path, "a.jsonl", [b"first"], 1000)
    write = os.write
    calls: list[int] = []

    def failing(file: int, data: bytes | memoryview) -> int:
        calls.append(file)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:3])

    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(OSError):
        append_lines(tmp_path, "a.jsonl", [b"second"], 1000)
    monkeypatch.undo()
    append_lines(tmp_path, "a.jsonl", [b"third"], 1000)
    assert (tmp_path / "a.jsonl").read_bytes() == b"first\nthird\n"


def test_a_disk_that_fails_is_counted_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "artifacts").write_text("a file where a folder should be")
    sink = JsonlReceipts(tmp_path, interval=60.0)
    with caplog.at_level(logging.ERROR, "headgate.receipts"):
        for number in range(3):
            sink.add(priced_receipt(number, run=f"r{number}"))
        sink.close()
    assert (sink.failed, sink.dropped, len(caplog.records)) == (3, 0, 1)


def test_a_receipt_that_no_json_can_hold_spoils_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = JsonlReceipts(tmp_path, interval=60.0)
    with caplog.at_level(logging.ERROR, "headgate.receipts"):
        sink.add(priced_receipt(1, model="half a pair: \ud800"))
        sink.add(priced_receipt(2))
        sink.close()
    assert (sink.failed, len(caplog.records), len(lines(tmp_path / FOLDER / "default.jsonl"))) == (1, 1, 1)


def test_a_full_queue_drops_and_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = JsonlReceipts(tmp_path, interval=60.0, capacity=2)
    with caplog.at_level(logging.WARNING, "headgate.receipts"):
        for number in range(5):
            sink.add(priced_receipt(number))
    sink.close()
    assert (sink.dropped, len(caplog.records), len(lines(tmp_path / FOLDER / "default.jsonl"))) == (3, 1, 2)


def test_they_appear_without_being_asked_for(tmp_path: Path) -> None:
    sink = JsonlReceipts(tmp_path, interval=0.01)
    wrote = threading.Event()
    original = sink._write

    def watched(name: str, data: list[bytes]) -> None:
        original(name, data)
        wrote.set()

    sink._write = watched
    sink.add(priced_receipt(1))
    assert wrote.wait(10)
    assert len(lines(tmp_path / FOLDER / "default.jsonl")) == 1
    sink.close()
