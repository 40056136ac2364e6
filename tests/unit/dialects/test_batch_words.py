"""Status words of every provider, in any case, and the three vocabularies they are told in (BPS-04, BPS-25, CON-04)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.batch import TERMINAL, BatchStatus
from headgate.dialects.batch_tables import ALL
from headgate.dialects.batch_words import CONTRACT, OCTOBATCH, OPENAI, WORDS, contract_word, facts_of, normalise
from headgate.errors import UsageError

ROOT = Path(__file__).parents[3]
BPS_25 = {
    "openai": {
        "validating": "validating",
        "in_progress": "in_progress",
        "finalizing": "finalizing",
        "completed": "completed",
        "failed": "failed",
        "expired": "expired",
        "cancelling": "in_progress",
        "cancelled": "cancelled",
    },
    "gemini": {
        "QUEUED": "queued",
        "PENDING": "queued",
        "RUNNING": "in_progress",
        "UPDATING": "in_progress",
        "SUCCEEDED": "completed",
        "PARTIALLY_SUCCEEDED": "completed",
        "FAILED": "failed",
        "PAUSED": "failed",
        "CANCELLING": "in_progress",
        "CANCELLED": "cancelled",
        "EXPIRED": "expired",
    },
    "claude": {"in_progress": "in_progress", "canceling": "in_progress", "ended": "completed", "errored": "failed", "expired": "expired"},
}
TABLE = [(provider, word, told) for provider, words in BPS_25.items() for word, told in words.items()]


@pytest.mark.parametrize(("provider", "word", "told"), TABLE)
def test_the_words_of_the_contract(provider: str, word: str, told: str) -> None:
    prefixes = ("", "JOB_STATE_", "BATCH_STATE_", "job_state_") if provider == "gemini" else ("",)
    for prefix in prefixes:
        for spelt in (word, word.upper(), word.lower(), word.title()):
            assert contract_word(provider, f" {prefix}{spelt} ") == contract_word(provider.upper(), prefix + spelt) == told


@pytest.mark.parametrize("facts", ALL, ids=lambda facts: facts.name)
def test_every_word_of_every_table_is_read_in_any_case(facts) -> None:
    for name in (*facts.providers, facts.name):
        assert facts_of(name) is facts
        for word, status in facts.statuses.items():
            assert normalise(name, word.upper()) is normalise(name, word) is status
    assert facts.providers and set(facts.statuses.values()) <= set(BatchStatus) - {BatchStatus.UNKNOWN}


@given(provider=st.sampled_from([facts.name for facts in ALL]), word=st.text(max_size=20))
def test_a_word_nobody_knows_is_unknown(provider: str, word: str) -> None:
    known = facts_of(provider)
    assert known is not None
    status = normalise(provider, word)
    assert status is BatchStatus.UNKNOWN or status in known.statuses.values()
    assert normalise(provider, f"{word}?") is BatchStatus.UNKNOWN and contract_word(provider, f"{word}?") == "unknown"


def test_a_provider_nobody_knows_is_unknown() -> None:
    assert normalise("acme", "completed") is BatchStatus.UNKNOWN and facts_of("acme") is None


def test_the_three_vocabularies_cover_every_status_and_hold_nothing_else() -> None:
    assert set(WORDS) == set(BatchStatus)
    assert {words.octobatch for words in WORDS.values()} == set(OCTOBATCH) and len(OCTOBATCH) == 5
    assert {words.contract for words in WORDS.values()} | {"validating"} == set(CONTRACT) and len(CONTRACT) == 9
    assert {words.openai for words in WORDS.values()} == set(OPENAI) and len(OPENAI) == 8


def test_a_job_is_over_in_all_vocabularies_or_in_none() -> None:
    over = (
        {"COMPLETED", "FAILED", "CANCELLED"},
        {"completed", "failed", "cancelled", "expired"},
        {"failed", "completed", "expired", "cancelled"},
    )
    for status, words in WORDS.items():
        said = (words.octobatch in over[0], words.contract in over[1], words.openai in over[2])
        assert said == ((status in TERMINAL),) * 3, status


def test_an_unknown_word_is_neither_running_nor_failed_in_the_contract() -> None:
    assert WORDS[BatchStatus.UNKNOWN].contract == "unknown"


@pytest.mark.parametrize(
    ("provider", "window", "hours"),
    [("openai", "24h", 24), ("openai", "1d", 24), ("groq", "7d", 168), ("groq", "36h", 36), ("bedrock", "168h", 168)],
)
def test_windows_that_are_offered(provider: str, window: str, hours: int) -> None:
    facts = facts_of(provider)
    assert facts is not None and facts.hours(window) == hours


@pytest.mark.parametrize(("provider", "window"), [("openai", "48h"), ("groq", "8d"), ("groq", "1h"), ("together", ""), ("xai", "soon")])
def test_windows_that_are_not_offered_say_which_are(provider: str, window: str) -> None:
    facts = facts_of(provider)
    assert facts is not None
    with pytest.raises(UsageError, match=f"{facts.shortest_window:g}h"):
        facts.hours(window)


def test_the_tables_are_compiled_from_the_catalog() -> None:
    checked = subprocess.run([sys.executable, ROOT / "tools" / "compile_batch_tables.py", "--check"], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
