"""What the methods of the batch contract take and give."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from headgate.batch_providers.enums import BatchMode, BatchStatus
from headgate.domain.usage import Usage
from headgate.wire.json import JsonObject


class Record(msgspec.Struct, kw_only=True):
    """A value of the contract; fields are given by name."""

    def model_dump(self) -> JsonObject:
        """The fields as a dictionary, the values of nested records too."""
        return {name: value.model_dump() if isinstance(value, Record) else value for name, value in msgspec.structs.asdict(self).items()}


class UsageInfo(Record):
    """Tokens of one request; None where the provider said nothing. `prompt_tokens` includes those of a cache."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


def usage_info(usage: Usage) -> UsageInfo:
    """The contract's names for a record of usage (CON-08)."""
    return UsageInfo(
        prompt_tokens=usage.input_total,
        completion_tokens=usage.output_total,
        total_tokens=usage.total,
        cache_creation_input_tokens=usage.cache_write_5m + usage.cache_write_1h,
        cache_read_input_tokens=usage.cache_read,
    )


class PreparedSubmission(Record):
    """Requests ready to be sent as job number `chunk_index` (from 0) of `total_chunks`; `payloads` are rows in the provider's words."""

    batch_id: UUID
    provider_name: str
    model: str
    mode: BatchMode
    payloads: list[JsonObject]
    config: JsonObject = {}
    chunk_index: int | None = None
    total_chunks: int | None = None

    def __post_init__(self) -> None:
        self.mode = BatchMode(self.mode)


class ProviderSubmitResult(Record):
    """A job that was created."""

    provider_batch_id: str
    status: BatchStatus
    raw_status: str
    submitted_at: datetime
    metadata: JsonObject = {}

    def __post_init__(self) -> None:
        self.status = BatchStatus(self.status)


class ProviderStatus(Record):
    """One look at a job. `progress` counts rows: total, completed, failed (None where the provider does not say)."""

    provider_batch_id: str
    status: BatchStatus
    raw_status: str
    progress: JsonObject | None = None
    error_message: str | None = None
    completed_at: datetime | None = None
    result_uri: str | None = None
    metadata: JsonObject = {}

    def __post_init__(self) -> None:
        self.status = BatchStatus(self.status)


class ProviderResultRow(Record):
    """What became of one request: `status` is "success", "error", "expired" or "cancelled".

    `response` is the provider's own JSON; `error` at most 500 characters.
    """

    request_id: str
    status: str
    response: JsonObject | None = None
    error: str | None = None
    usage: UsageInfo | None = None
    metadata: JsonObject = {}
