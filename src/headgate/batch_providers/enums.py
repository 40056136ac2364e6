"""Words of the batch contract: modes, statuses, and what providers' own words for a status mean."""

from __future__ import annotations

from enum import StrEnum

from headgate.dialects.batch_words import contract_word


class BatchMode(StrEnum):
    """What the requests of a batch are."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    CUSTOM = "custom"


class BatchStatus(StrEnum):
    """The state of a batch job. The last five but `unknown` are ends."""

    VALIDATING = "validating"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing happens any more. Results, whole or partial, can be fetched then."""
        return self in _ENDS


_ENDS = frozenset({BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELLED, BatchStatus.EXPIRED})


def normalize_provider_status(provider: str, raw: str) -> BatchStatus:
    """The contract's word for a provider's own, in any case: `unknown` for a word, or a provider, that nobody knows.

    The words of each provider are data (``catalog/data/batch``). A job that is being cancelled has no word of its own among the nine: it
    is still in progress.
    """
    return BatchStatus(contract_word(provider, raw))
