"""Batch envelopes: how many rendered requests travel as one asynchronous job.

Rows are already rendered by a chat dialect; an envelope knows nothing of their content. Every exchange is a `Flow`, so that it runs
under any driver and can be tested without sockets. Nothing of batch size is held whole in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Literal, Protocol

import msgspec

from headgate.errors import ProviderError
from headgate.wire.http import Flow
from headgate.wire.json import JsonObject


class BatchStatus(StrEnum):
    """Normalised status words (`unknown` means: keep polling, warn, and obey the maximum age)."""

    QUEUED = "queued"
    RUNNING = "running"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    PARTIAL = "partial"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


TERMINAL = frozenset({BatchStatus.COMPLETED, BatchStatus.PARTIAL, BatchStatus.EXPIRED, BatchStatus.CANCELLED, BatchStatus.FAILED})


class BatchRequestRow(msgspec.Struct, frozen=True):
    """One line of a batch: our id, the endpoint it would go to alone, and its JSON body as bytes."""

    custom_id: str
    endpoint: str
    body: bytes


class BatchBody(Protocol):
    """Rows that can be read again from the start, with their number known."""

    @property
    def count(self) -> int:
        """Rows in total."""
        ...

    def __iter__(self) -> Iterator[BatchRequestRow]:
        """Rows from the first."""
        ...


class BatchRows(msgspec.Struct, frozen=True):
    """A `BatchBody` over rows in memory."""

    rows: tuple[BatchRequestRow, ...]

    @property
    def count(self) -> int:
        """Rows in total."""
        return len(self.rows)

    def __iter__(self) -> Iterator[BatchRequestRow]:
        return iter(self.rows)


class BatchTag(msgspec.Struct, frozen=True):
    """Our mark on a job, by which it is found again after a crash. `key` is unique per submission, at most 64 safe characters.

    `prefix` begins every custom id of the job. `model` is the wire model name, `endpoint` the rows' common endpoint, `boundary` a
    multipart boundary nobody else uses, `window` the completion window asked for. `variables` are the provider's (a bucket, a role).
    """

    key: str
    prefix: str
    model: str
    endpoint: str
    boundary: str
    window: str = "24h"
    variables: Mapping[str, str] = {}


class BatchHandle(msgspec.Struct, frozen=True):
    """A submitted job. `input_file` is the uploaded file's id where the wire has one."""

    id: str
    input_file: str | None = None
    created_at: float | None = None


class BatchState(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the provider reports it. Counts are None while unknown (Anthropic's stay zero until the end)."""

    status: BatchStatus
    raw_status: str
    total: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    output_ref: str | None = None
    error_ref: str | None = None
    expires_at: float | None = None
    created_at: float | None = None
    lagging: bool = False
    """Terminal, but the results are not there yet: poll again."""
    crowded: bool = False
    """Failed before it began, because the account has as much enqueued as it may: nothing ran, and it can be submitted again later."""
    errors: tuple[JsonObject, ...] = ()
    raw: JsonObject | None = None


class ResultFile(msgspec.Struct, frozen=True):
    """Rows on disk, to be read by `row_decoder`."""

    kind: Literal["output", "error"]
    path: str


class Candidate(msgspec.Struct, frozen=True):
    """A job found at the provider that may be ours."""

    handle: BatchHandle
    matched_by: Literal["tag", "window"]
    total: int | None = None
    created_at: float | None = None
    status: BatchStatus = BatchStatus.UNKNOWN


class BatchRow(msgspec.Struct, frozen=True):
    """One result row. `body` is the native answer (for the chat dialect to parse) when `outcome` is "succeeded", else `error` says why.

    `custom_id` is None for a line that could not be read; `line` is its number from 1.
    """

    custom_id: str | None
    outcome: Literal["succeeded", "errored", "expired", "cancelled"]
    line: int
    status: int | None = None
    body: bytes | None = None
    error: ProviderError | None = None
    request_id: str | None = None


class RowDecoder(Protocol):
    """Result bytes in, rows out; split at line feeds only. A bad line becomes a row without id and spoils nothing else."""

    def feed(self, data: bytes) -> list[BatchRow]:
        """Rows completed by these bytes."""
        ...

    def close(self) -> list[BatchRow]:
        """The last row, when the file does not end in a line feed."""
        ...


class BatchLimits(msgspec.Struct, frozen=True):
    """What one job may hold, in rows, bytes and (estimated) input tokens; None where the provider names no limit.

    `max_tokens` is what may be enqueued for a model at one time. `max_row_bytes` bounds a single row, `max_call_bytes` one request that
    carries rows in its body. `min_rows` is what a job must have.
    """

    max_rows: int
    max_bytes: int
    max_tokens: int | None = None
    max_row_bytes: int | None = None
    max_call_bytes: int | None = None
    min_rows: int = 1


class BatchDialect(msgspec.Struct, frozen=True):
    """One batch envelope.

    * `submit(tag, body)`: uploads where needed and creates the job. Not idempotent: the caller has written its intent first.
    * `status(handle)`: one poll. A job the provider no longer knows raises `ProviderError(not_found)`.
    * `results(handle, state)`: downloads every result file that exists, output *and* error, in any terminal state.
    * `cancel(handle)`: True when the provider accepted; False when it was already over.
    * `find(tag, since)`: jobs created after `since` (epoch seconds) that carry our tag, or might be ours where the wire has no tag.
    * `row_decoder(kind)`: reads a result file.
    * `delete(handle, state)`: deletes a job that is over, with its files; what is gone already is no error. None: it cannot be.
    """

    name: str
    limits: BatchLimits
    submit: Callable[[BatchTag, BatchBody], Flow[BatchHandle]]
    status: Callable[[BatchHandle], Flow[BatchState]]
    results: Callable[[BatchHandle, BatchState], Flow[list[ResultFile]]]
    cancel: Callable[[BatchHandle], Flow[bool]]
    find: Callable[[BatchTag, float], Flow[list[Candidate]]]
    row_decoder: Callable[[Literal["output", "error"]], RowDecoder]
    delete: Callable[[BatchHandle, BatchState], Flow[None]] | None = None
