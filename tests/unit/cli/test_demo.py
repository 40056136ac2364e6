"""``headgate demo PIPELINE``: the tables it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headgate.cli import main


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.cli.actions.demo.TIME_SCALE", 300.0)


def tables(printed: str) -> dict[str, list[list[str]]]:
    """The printed tables by their first title: cells are what two blanks separate."""
    found: dict[str, list[list[str]]] = {}
    for block in printed.split("\n\n"):
        lines = block.splitlines()
        at = next((place for place, line in enumerate(lines) if re.fullmatch(r"-+(  -+)+", line)), None)
        if at is not None:
            columns = [match.span() for match in re.finditer("-+", lines[at])]
            cells = [[line[start:end].strip() for start, end in columns] for line in [lines[at - 1], *lines[at + 1 :]]]
            found["|".join(cells[0])] = cells[1:]
    return found


def test_blackjack(headgate_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "Blackjack", "--units", "60", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "60 units, realtime: Simulator (OpenAI wire)" in printed
    assert "equal to the nano-dollar" in printed
    found = tables(printed)
    results = found["strategy|result|n|observed|95 % interval|theory"]
    assert [row[0] for row in results] == ["The Coward"] * 3 + ["The Gambler"] * 3 + ["The Pro"] * 3
    assert [row[5] for row in results[6:]] == ["43.0%", "47.7%", "9.2%"]
    assert "complete: 60 valid, 0 failed" in printed
    assert sum(int(row[2]) for row in results) == 60
    assert {row[0]: row[3] for row in found["strategy|net of 300|95 % interval|theory"]} == {
        "The Pro": "-14",
        "The Coward": "-32",
        "The Gambler": "-39",
    }
    actions = found["strategy|first action|n|observed|95 % interval|theory"]
    assert [row[2:4] for row in actions if row[:2] == ["The Coward", "double_down"]] == [["0", "0.0%"]]
    assert sum(int(row[2]) for row in found["strategy|difficulty|n|observed|95 % interval"]) == 60
    assert [row[:2] for row in found["hands played|units|asked once|calls|most"]] == [
        ["The Coward", "20"],
        ["The Gambler", "20"],
        ["The Pro", "20"],
    ]


def test_dialogs(headgate_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "NPCDialog", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "60 units, batch: Simulator (Google Gemini wire)" in printed
    assert "complete: 60 valid, 0 failed" in printed
    found = tables(printed)
    names = ["Cheerful Innkeeper", "Gruff Blacksmith", "Mysterious Stranger", "Nervous Merchant", "Wise Elder"]
    shares = next(rows for title, rows in found.items() if title.startswith("tone of|"))
    assert [row[0] for row in shares] == names
    assert all(97 <= sum(int(cell.rstrip("%")) for cell in row[1:-1]) <= 103 for row in shares)
    fits = found["character|n|fits (mean)|sd|least|most"]
    assert [row[0] for row in fits] == names
    assert all(0.6 <= float(row[4]) <= float(row[2]) <= float(row[5]) <= 1 for row in fits)
    assert [row[0] for row in found["mood|n|fits (mean)|sd|least|most"]] == ["aggressive", "desperate", "friendly", "suspicious"]
    written = found["dialogs written|units|asked once|calls|most"]
    assert [row[:2] for row in written] == [[name, "12"] for name in names]


def test_a_pipeline_that_is_no_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "Quiz"]) == 2
    assert "'DrunkenSailor', 'Blackjack', 'NPCDialog'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stranger=0.1", "no player 'stranger'"),
        ("1.5", "'1.5' is no share"),
        ("walk_report=often", "'often' is no share"),
        ("nan", "no share"),
    ],
)
def test_mistakes_that_make_no_sense(headgate_environment: Path, capsys: pytest.CaptureFixture[str], text: str, told: str) -> None:
    assert main(["sim", "--port", "0", "--mistakes", text]) == 2
    assert told in capsys.readouterr().err
