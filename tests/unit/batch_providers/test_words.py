"""Words and values of the contract."""

from __future__ import annotations

from uuid import uuid4

import pytest

from headgate.batch_providers import (
    BatchMode,
    BatchStatus,
    PreparedSubmission,
    ProviderError,
    ProviderPermanentError,
    ProviderStatus,
    ProviderTransientError,
    UsageInfo,
    errors,
    exceptions,
    normalize_provider_status,
)
from headgate.batch_providers.dto import usage_info
from headgate.batch_providers.exceptions import MINUTE, contract_error
from headgate.domain.usage import Usage
from headgate.errors import ConfigError, ErrorKind, Unsupported, WireError
from headgate.errors import ProviderError as Failure


def test_the_words_of_the_contract() -> None:
    assert [mode.value for mode in BatchMode] == ["chat", "completion", "embedding", "custom"]
    assert [status.value for status in BatchStatus] == [
        "validating",
        "queued",
        "in_progress",
        "finalizing",
        "completed",
        "failed",
        "cancelled",
        "expired",
        "unknown",
    ]
    assert BatchStatus.COMPLETED == "completed"


@pytest.mark.parametrize(
    ("provider", "raw", "word"),
    [
        ("openai", "validating", "validating"),
        ("openai", "in_progress", "in_progress"),
        ("openai", "finalizing", "finalizing"),
        ("openai", "cancelling", "in_progress"),
        ("OpenAI", "CANCELLED", "cancelled"),
        ("openai", "expired", "expired"),
        ("gemini", "JOB_STATE_PENDING", "queued"),
        ("gemini", "BATCH_STATE_QUEUED", "queued"),
        ("gemini", "JOB_STATE_UPDATING", "in_progress"),
        ("gemini", "JOB_STATE_PARTIALLY_SUCCEEDED", "completed"),
        ("gemini", "JOB_STATE_PAUSED", "failed"),
        ("gemini", "BATCH_STATE_EXPIRED", "expired"),
        ("claude", "in_progress", "in_progress"),
        ("claude", "canceling", "in_progress"),
        ("anthropic", "ended", "completed"),
        ("anthropic", "errored", "failed"),
        ("openai", "something new", "unknown"),
        ("nobody", "completed", "unknown"),
    ],
)
def test_a_providers_word_has_one_in_the_contract(provider: str, raw: str, word: str) -> None:
    assert normalize_provider_status(provider, raw) is BatchStatus(word)


def test_usage_carries_the_cache_and_may_say_nothing() -> None:
    usage = usage_info(Usage(input_uncached=5, cache_read=3, cache_write_5m=2, cache_write_1h=1, output_text=4, output_reasoning=6))
    assert usage == UsageInfo(
        prompt_tokens=11, completion_tokens=10, total_tokens=21, cache_creation_input_tokens=3, cache_read_input_tokens=3
    )
    assert UsageInfo() == UsageInfo(prompt_tokens=None, completion_tokens=None, total_tokens=None)
    assert usage.model_dump()["total_tokens"] == 21


def test_words_may_be_given_as_text_and_must_be_known() -> None:
    made = PreparedSubmission(batch_id=uuid4(), provider_name="acme", model="m", mode="chat", payloads=[{"a": 1}])
    assert made.mode is BatchMode.CHAT
    assert (made.config, made.chunk_index, made.total_chunks) == ({}, None, None)
    with pytest.raises(ValueError, match="poetry"):
        PreparedSubmission(batch_id=uuid4(), provider_name="acme", model="m", mode="poetry", payloads=[])
    with pytest.raises(ValueError, match="done"):
        ProviderStatus(provider_batch_id="b", status="done", raw_status="done")


def test_records_do_not_share_what_they_are_made_with() -> None:
    first = ProviderStatus(provider_batch_id="b", status=BatchStatus.QUEUED, raw_status="queued")
    first.metadata["seen"] = True
    assert ProviderStatus(provider_batch_id="b", status=BatchStatus.QUEUED, raw_status="queued").metadata == {}


def test_the_errors_have_one_home_and_two_names() -> None:
    assert errors.ProviderError is exceptions.ProviderError is ProviderError
    error = ProviderTransientError("slow down", "openai", "batch_1", retry_after=4.0)
    assert (str(error), error.provider_name, error.provider_batch_id, error.retry_after) == ("slow down", "openai", "batch_1", 4.0)


@pytest.mark.parametrize(
    ("error", "cls", "wait"),
    [
        (Failure(ErrorKind.RATE_LIMIT, "400 of 401 tokens", retry_after=7.0), ProviderTransientError, 7.0),
        (Failure(ErrorKind.RATE_LIMIT, "slow down"), ProviderTransientError, MINUTE),
        (Failure(ErrorKind.TIMEOUT, "too slow"), ProviderTransientError, None),
        (Failure(ErrorKind.SERVER, "oops"), ProviderTransientError, None),
        (Failure(ErrorKind.AUTH, "no"), ProviderPermanentError, None),
        (Failure(ErrorKind.QUOTA, "the account is empty"), ProviderPermanentError, None),
        (Failure(ErrorKind.NOT_FOUND, "no such model"), ProviderPermanentError, None),
        (Failure(ErrorKind.UNKNOWN, "?"), ProviderError, None),
        (ConfigError("retired"), ProviderPermanentError, None),
        (Unsupported("no"), ProviderPermanentError, None),
        (WireError("half an answer"), ProviderTransientError, None),
        (WireError("a bad row", fault="local"), ProviderPermanentError, None),
    ],
)
def test_what_may_be_tried_again_is_told_by_the_kind(error: Failure, cls: type[ProviderError], wait: float | None) -> None:
    found = contract_error(error, "openai", "batch_1")
    assert type(found) is cls
    assert (found.retry_after, found.provider_name, found.provider_batch_id) == (wait, "openai", "batch_1")


def test_long_texts_are_cut() -> None:
    assert len(str(contract_error(Failure(ErrorKind.SERVER, "x" * 2000), "openai"))) == 500
