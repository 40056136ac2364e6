"""A run's own copy of a large items file, and the list of units that are wanted."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from headgate.batch import item_file, pipeline_files
from headgate.batch.chosen import given_file, given_items, read_unit_ids, require_units
from headgate.batch.item_file import InputFile, ItemsFile, keep_copy, kept_copy
from headgate.batch.items import with_own_items
from headgate.batch.lazy_items import LazyItems
from headgate.batch.pipeline import Pipeline
from headgate.batch.pipeline_files import snapshot
from headgate.batch.pipeline_load import load_pipeline, load_snapshot
from headgate.errors import ConfigError, RunError, StoreError, UsageError
from headgate.testing.pipelines import CONFIG, write_quiz

LINES = "".join(f'{{"id": "q{n}", "text": "question {n}"}}\n' for n in range(6))


@pytest.fixture
def quiz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline over a file that counts as large."""
    monkeypatch.setattr(pipeline_files, "HELD", 100)
    folder = write_quiz(tmp_path, config=CONFIG.replace("items.yaml", "items.jsonl"))
    (folder / "items.jsonl").write_text(LINES)
    return folder


def recorded(path: Path) -> InputFile:
    data = path.read_bytes()
    return InputFile("items.jsonl", len(data), hashlib.sha256(data).hexdigest(), str(path))


@pytest.mark.parametrize("shared", [False, True])
def test_a_copy_is_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    def clone(source: BinaryIO, copy: BinaryIO) -> bool:
        copy.write(source.read())
        source.seek(0)
        return True

    if shared:
        monkeypatch.setattr(item_file, "_cloned", clone)
    original = tmp_path / "x.jsonl"
    original.write_text(LINES)
    wanted = recorded(original)
    copy = keep_copy(wanted, tmp_path / "run")
    assert copy.path == tmp_path / "run" / "input" / "items.jsonl"
    assert copy.path.read_text() == LINES
    assert not os.path.samefile(original, copy.path)
    assert kept_copy(wanted, tmp_path / "run") == copy
    original.write_text("changed")
    assert kept_copy(wanted, tmp_path / "run").digest() == wanted.sha256
    with pytest.raises(RunError, match="was changed while it was read"):
        keep_copy(wanted, tmp_path / "run")
    assert sorted(entry.name for entry in (tmp_path / "run" / "input").iterdir()) == ["items.jsonl"]


def test_a_copy_that_was_changed_or_lost_is_told(tmp_path: Path) -> None:
    original = tmp_path / "x.jsonl"
    original.write_text(LINES)
    wanted = recorded(original)
    copy = keep_copy(wanted, tmp_path / "run")
    assert copy.path is not None
    copy.path.write_text(LINES.replace("question 3", "question 4"))
    with pytest.raises(RunError, match="is not what the run began with"):
        kept_copy(wanted, tmp_path / "run")
    copy.path.unlink()
    with pytest.raises(RunError, match="cannot read"):
        kept_copy(wanted, tmp_path / "run")
    with pytest.raises(StoreError, match="cannot copy"):
        keep_copy(recorded(original), original)


def test_a_large_file_stays_out_of_the_snapshot(quiz: Path, tmp_path: Path) -> None:
    pipeline = load_pipeline(quiz)
    assert "items.jsonl" not in pipeline.files
    assert pipeline.input is not None and pipeline.input.facts is not None
    assert (pipeline.input.size, pipeline.input.facts.count) == (len(LINES), 6)
    run = tmp_path / "run"
    own = with_own_items(pipeline, run)
    stored = snapshot(own)
    assert b"question 3" not in stored
    (quiz / "items.jsonl").unlink()
    again = load_snapshot(stored, run)
    assert again.digest == pipeline.digest == own.digest
    assert isinstance(again.items, LazyItems) and isinstance(own.items, LazyItems)
    assert again.items.file == own.items.file
    assert list(again.units()) == list(own.units())
    assert snapshot(again) == stored


def test_the_digest_covers_a_large_file(quiz: Path) -> None:
    before = load_pipeline(quiz).digest
    (quiz / "items.jsonl").write_text(LINES.replace("question 3", "question 4"))
    assert load_pipeline(quiz).digest != before


def test_large_yaml_is_copied_too(quiz: Path, tmp_path: Path) -> None:
    (quiz / "config.yaml").write_text(CONFIG)
    pipeline = with_own_items(load_pipeline(quiz), tmp_path / "run")
    assert pipeline.input is not None and pipeline.input.facts is None
    (quiz / "items.yaml").unlink()
    again = load_snapshot(snapshot(pipeline), tmp_path / "run")
    assert (list(again.units()), again.digest) == (list(pipeline.units()), pipeline.digest)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other.jsonl", LINES),
        ("other.csv", "id,text\nq0,zero\nq1,one\nq2,two\nq3,three\nq4,four\nq5,five\n"),
        ("other.yaml", "".join(f"- id: q{n}\n  text: question {n}\n" for n in range(6))),
        ("other.json", '{"questions": [' + ", ".join(f'{{"id": "q{n}", "text": ""}}' for n in range(6)) + "]}"),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_another_file_takes_the_place_of_the_pipelines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, large: bool
) -> None:
    monkeypatch.setattr(pipeline_files, "HELD", 10 if large else 1 << 20)
    folder = write_quiz(tmp_path, items="questions: []\n")
    (tmp_path / name).write_text(text)
    pipeline = with_own_items(load_pipeline(folder, tmp_path / name), tmp_path / "run")
    assert [unit.unit_id for unit in pipeline.units()] == [f"q{n}" for n in range(6)]
    (tmp_path / name).unlink()
    assert list(load_snapshot(snapshot(pipeline), tmp_path / "run").units()) == list(pipeline.units())


def test_a_fault_in_another_file_names_that_file(tmp_path: Path) -> None:
    folder = write_quiz(tmp_path)
    (tmp_path / "other.csv").write_text("id,txt\nq0,zero\n")
    with pytest.raises(ConfigError, match="needs 'text', which nothing before it provides"):
        load_pipeline(folder, tmp_path / "other.csv")
    (tmp_path / "other.csv").write_text("x\n1\n")
    with pytest.raises(ConfigError, match=f"{tmp_path}/other.csv:2:1: an item needs an id"):
        load_pipeline(folder, tmp_path / "other.csv")


def test_pipes_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for text in ("-", str(tmp_path / "pipe.jsonl")):
        with pytest.raises(UsageError, match="not a pipe") as caught:
            given_items(text)
        assert caught.value.hint is not None and caught.value.hint.startswith("save it")
    with pytest.raises(UsageError, match="there is no file"):
        given_file(str(tmp_path), "--units-file")
    (tmp_path / "items.txt").write_text("x")
    with pytest.raises(UsageError, match=r"the format of 'items\.txt' is not known"):
        given_items(str(tmp_path / "items.txt"))


def wanted(pipeline: Pipeline, max_units: int | None = None, start: int = 0) -> list[tuple[int, str]]:
    return [(unit.seq, unit.unit_id) for unit in pipeline.units(max_units, start)]


def test_only_the_units_of_a_list_are_run(tmp_path: Path) -> None:
    folder, listed = write_quiz(tmp_path), tmp_path / "list"
    listed.write_text('\ufeffq4\r\n\n{"unit_id": "q1", "seq": 9}\n  q4 \n')
    assert read_unit_ids(listed) == ("q1", "q4")
    pipeline = load_pipeline(folder, only=read_unit_ids(listed))
    require_units(pipeline, listed)
    assert (wanted(pipeline), pipeline.unit_count()) == ([(0, "q1"), (1, "q4")], 2)
    assert (wanted(pipeline, 1), wanted(pipeline, None, 1), pipeline.unit_count(1)) == ([(0, "q1")], [(1, "q4")], 1)
    assert load_snapshot(snapshot(pipeline)).only == ("q1", "q4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\n \n", "the list names no unit"),
        (b"q1\n{\n", "list:2:1: not an id"),
        (b'{"id": "q1"}\n', "list:1:1: the line has no unit_id"),
        (b"q1\n\xff\n", "list:2:1: not an id"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "list").write_bytes(text)
    with pytest.raises(ConfigError, match=message):
        read_unit_ids(tmp_path / "list")


def test_units_that_are_not_there_are_named(tmp_path: Path) -> None:
    pipeline = load_pipeline(write_quiz(tmp_path), only=("q1", "q9", *(f"z{n}" for n in range(9))))
    with pytest.raises(ConfigError, match="list: the pipeline has no unit 'q9', 'z0', 'z1', 'z2', 'z3' and 5 more"):
        require_units(pipeline, Path("list"))


def test_a_held_file_has_its_bytes_at_hand() -> None:
    file = ItemsFile("a.CSV", "a", b"x")
    assert (file.suffix, file.size, file.digest()) == ("csv", 1, hashlib.sha256(b"x").hexdigest())
    assert ItemsFile("noend", "a").suffix == ""
