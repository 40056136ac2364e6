"""Rows of jobs without a run: their spelling in files, and what is read from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.client.jobs import job_tag, read_row
from headgate.client.lines import SPELLINGS, line_of, row_of
from headgate.client.target import Credential, Target
from headgate.config import Secret
from headgate.dialects.batch import BatchRequestRow, BatchRow
from headgate.errors import ErrorKind, ProviderError, UsageError
from headgate.providers import PROVIDERS
from headgate.transport.settings import Origin
from headgate.wire.json import decode, encode

URL = "/v1/chat/completions"
TARGET = Target(PROVIDERS["openai"], "gpt-4o-mini", Credential("default", Secret("")), Origin("https", "api.example", 443))
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Blue."}, "finish_reason": "stop"}],
}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


@given(
    id=st.text(min_size=1),
    body=st.dictionaries(st.text(), st.integers() | st.text()),
    envelope=st.sampled_from([*SPELLINGS, "batch_openai_files", "x"]),
)
def test_a_row_written_as_a_line_is_read_back(id: str, body: dict[str, object], envelope: str) -> None:
    row = BatchRequestRow(id, URL, encode(body))
    back = row_of(decode(encode(line_of(envelope, row))), URL)
    assert (back.custom_id, back.endpoint, decode(back.body)) == (id, URL, body)


@pytest.mark.parametrize(
    "line", [{}, {"custom_id": "a"}, {"custom_id": "", "body": {}}, {"key": "a", "request": []}, {"custom_id": 7, "params": {}}]
)
def test_a_line_that_is_no_row_is_refused_with_its_place(line: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="file:3 is no request"):
        row_of(line, URL, "file:3")


def test_a_chat_answer_is_read() -> None:
    found = read_row(TARGET, BatchRow("a", "succeeded", 1, 200, encode({**CHAT, "usage": USAGE})))
    assert found.response is not None and found.response.text == "Blue."
    assert found.error is None and found.usage is not None and found.usage.total == 7


@pytest.mark.parametrize("kind", ["text_completion", "list"])
def test_answers_of_other_modes_are_passed_on_with_their_usage(kind: str) -> None:
    found = read_row(TARGET, BatchRow("a", "succeeded", 1, 200, encode({"object": kind, "data": [], "usage": USAGE})))
    assert (found.response, found.error) == (None, None)
    assert found.usage is not None and found.usage.input_total == 5


@pytest.mark.parametrize("body", [b"{}", b'{"object": 7}', b"[]", b"{"])
def test_a_body_that_is_no_answer_is_an_error_of_its_row(body: bytes) -> None:
    found = read_row(TARGET, BatchRow("a", "succeeded", 1, 200, body))
    assert found.error is not None and found.response is None


def test_a_row_that_failed_keeps_its_reason_or_gets_one() -> None:
    error = ProviderError(ErrorKind.SERVER, "oops")
    assert read_row(TARGET, BatchRow("a", "errored", 1, 500, error=error)).error is error
    assert "expired" in str(read_row(TARGET, BatchRow("a", "expired", 1)).error)


def test_the_mark_of_a_job_follows_from_its_name() -> None:
    first, same, other = (job_tag(TARGET, name, URL) for name in ("one", "one", "two"))
    assert first.key == same.key != other.key
    assert len(first.key) <= 64
    assert first.boundary != same.boundary
