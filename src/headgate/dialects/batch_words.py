"""Status words, read and written: every provider's word in, and three vocabularies out (BPS-04, BPS-25, OCT-21, CON-04).

One table holds what each of our words is called by Octobatch (five words), by the batch provider contract (nine) and by OpenAI (eight).
A vocabulary that has no word for "unknown" says "running" or "in_progress": such a job is still polled, until its maximum age.
"""

from __future__ import annotations

import msgspec

from headgate.dialects.batch import BatchStatus
from headgate.dialects.batch_facts import BatchFacts
from headgate.dialects.batch_tables import ALL


class Words(msgspec.Struct, frozen=True):
    """One status in three vocabularies."""

    octobatch: str
    contract: str
    openai: str


WORDS: dict[BatchStatus, Words] = {
    BatchStatus.QUEUED: Words("PENDING", "queued", "validating"),
    BatchStatus.RUNNING: Words("RUNNING", "in_progress", "in_progress"),
    BatchStatus.FINALIZING: Words("RUNNING", "finalizing", "finalizing"),
    BatchStatus.CANCELLING: Words("RUNNING", "in_progress", "cancelling"),
    BatchStatus.COMPLETED: Words("COMPLETED", "completed", "completed"),
    BatchStatus.PARTIAL: Words("COMPLETED", "completed", "completed"),
    BatchStatus.EXPIRED: Words("FAILED", "expired", "expired"),
    BatchStatus.CANCELLED: Words("CANCELLED", "cancelled", "cancelled"),
    BatchStatus.FAILED: Words("FAILED", "failed", "failed"),
    BatchStatus.UNKNOWN: Words("RUNNING", "unknown", "in_progress"),
}

OCTOBATCH = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")
CONTRACT = ("validating", "queued", "in_progress", "finalizing", "completed", "failed", "cancelled", "expired", "unknown")
OPENAI = ("validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled")

_BY_PROVIDER: dict[str, BatchFacts] = {name: facts for facts in ALL for name in (*facts.providers, facts.name)}


def facts_of(provider: str) -> BatchFacts | None:
    """What is known of a provider's batch API, by the provider's name, an alias or the dialect's name, in any case."""
    return _BY_PROVIDER.get(provider.strip().lower())


def normalise(provider: str, word: str) -> BatchStatus:
    """Our word for a provider's, in any case. A provider or word that nobody knows is `UNKNOWN`, never "running" or "failed"."""
    facts = facts_of(provider)
    return BatchStatus.UNKNOWN if facts is None else facts.status(word)


def contract_word(provider: str, word: str) -> str:
    """The contract's word for a provider's (BPS-04). "validating" is kept apart from "queued", which our words do not do."""
    status = normalise(provider, word)
    if status is BatchStatus.QUEUED and word.strip().lower() == "validating":
        return "validating"
    return WORDS[status].contract
