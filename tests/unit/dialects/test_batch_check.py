"""A batch is validated before it is uploaded, with the line that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.dialects.batch import BatchLimits, BatchRequestRow, BatchRows
from headgate.dialects.batch_check import MAX_PROBLEMS, check_jsonl, check_rows
from headgate.dialects.batch_tables import BEDROCK, OPENAI, TOGETHER
from headgate.errors import UsageError

URL = "/v1/chat/completions"
SMALL = replace(OPENAI, limits=BatchLimits(max_rows=3, max_bytes=1000, max_row_bytes=200))


def three(row: BatchRequestRow) -> int:
    return 3


def line(custom_id: Any = "a", **changes: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": URL, "body": {"model": "m", "messages": []}, **changes}


def data(*lines: Any) -> bytes:
    return b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in lines)


@pytest.mark.parametrize(
    ("content", "code", "number"),
    [
        (b"", "empty_file", None),
        (data(line(), b"{nope"), "invalid_json_line", 2),
        (data(line(), b"[1]"), "invalid_json_line", 2),
        (data(line(), b"", line()), "duplicate_custom_id", 3),
        (data(line(None)), "missing_required_parameter", 1),
        (data(line(), line("b", url="/v1/embeddings")), "mismatched_url", 2),
        (data(line(method="GET")), "invalid_method", 1),
        (data(line(body=[])), "missing_required_parameter", 1),
        (data(line(body={})), "missing_required_parameter", 1),
        (data(line(), line("b", body={"model": "other"})), "mismatched_model", 2),
        (data(*(line(str(n)) for n in range(4))), "too_many_tasks", None),
        (data(line(body={"model": "m", "x": "y" * 200})), "row_too_large", 1),
        (data(line("x" * 600)), "invalid_custom_id", 1),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(content: bytes, code: str, number: int | None) -> None:
    report = check_jsonl([content], SMALL, URL)
    assert (code, number) in [(problem.code, problem.line) for problem in report.problems]
    with pytest.raises(UsageError, match=f"line {number}" if number else "the batch would be refused"):
        report.must_be_clean()


def test_a_good_file_is_counted() -> None:
    content = data(line("a"), line("b"))
    report = check_jsonl([content], OPENAI, URL)
    assert (report.rows, report.bytes, report.models, report.problems) == (2, len(content), {"m"}, [])
    report.must_be_clean()


@given(cuts=st.lists(st.integers(0, 400), max_size=6))
def test_any_split_of_a_file_gives_the_same_report(cuts: list[int]) -> None:
    content = data(line("a"), line("a"), b"{", line("b", body={"model": "other", "text": "\u2028\x85"}))
    places = sorted({0, *cuts, len(content)})
    chunks = [content[start:end] for start, end in zip(places, [*places[1:], len(content)], strict=True)]
    assert check_jsonl(chunks, OPENAI, URL) == check_jsonl([content], OPENAI, URL)


def test_bytes_over_the_limit_are_told_even_after_many_other_problems() -> None:
    report = check_jsonl([data(*[b"{"] * 400, line("a", body={"model": "m", "x": "y" * 2000}))], SMALL, URL)
    codes = [problem.code for problem in report.problems]
    assert codes.count("invalid_json_line") == MAX_PROBLEMS and {"too_many_tasks", "file_too_large"} <= set(codes)
    with pytest.raises(UsageError, match=r"and \d+ more") as caught:
        report.must_be_clean()
    assert caught.value.hint == "lower processing.chunk_size in the pipeline"


def test_an_endpoint_the_provider_does_not_batch_is_refused() -> None:
    row = BatchRequestRow("a", "/v1/responses", b"{}")
    report = check_rows(BatchRows((row,)), TOGETHER, three, "/v1/responses")
    assert [problem.code for problem in report.problems] == ["invalid_endpoint"]
    assert "/v1/chat/completions" in str(report.problems[0])


def test_rows_of_another_endpoint_are_told() -> None:
    report = check_rows(BatchRows((BatchRequestRow("a", "/v1/other", b"{}"),)), OPENAI, three, URL)
    assert [(problem.code, problem.line) for problem in report.problems] == [("mismatched_url", 1)]


def test_too_few_rows_say_what_to_do_instead() -> None:
    report = check_rows(BatchRows((BatchRequestRow("a", "", b"{}"),)), BEDROCK, three)
    with pytest.raises(UsageError, match="has at least 100") as caught:
        report.must_be_clean()
    assert caught.value.hint == "use --mode realtime, or more units in a chunk"
