"""The contract over any batch envelope: one class does the work, a subclass only names its provider."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import ClassVar, TypeAlias
from uuid import UUID

import msgspec

from headgate.batch.plan import ChunkLimits, Oversized, RowSize, plan_chunks
from headgate.batch_providers.answers import missing_row, over, result_row, status_of
from headgate.batch_providers.base import BaseBatchProvider
from headgate.batch_providers.dto import PreparedSubmission, ProviderResultRow, ProviderStatus, ProviderSubmitResult
from headgate.batch_providers.enums import BatchMode, BatchStatus
from headgate.batch_providers.exceptions import InvalidRequest, ProviderPermanentError, ProviderTransientError, contract_error
from headgate.batch_providers.modes import rows_of
from headgate.client import BatchClient, Target
from headgate.client.direct import Connection, Workspace, direct_target, read_workspace, rendering_target, seconds_of
from headgate.client.jobs import JobRow, batch_client, endpoint_of, job_rows, job_tag, stop_job
from headgate.client.lines import line_of, row_of
from headgate.config import Secret
from headgate.dialects.batch import BatchHandle, BatchRequestRow, BatchRows, BatchState, BatchTag, Candidate
from headgate.domain.estimate import estimate_tokens
from headgate.errors import HeadgateError, ProviderError, UsageError, WireError
from headgate.providers import Provider
from headgate.serving.job_receipts import book_job
from headgate.wire.json import Json, JsonObject

_LOG = logging.getLogger("headgate.batch_providers")
Requests: TypeAlias = Sequence[Mapping[str, Json]]
ROW_OVERHEAD = 256
"""Bytes an envelope may add to a row's body."""
CLOCK_SKEW = 900.0
"""Seconds by which our clock may be ahead of the provider's."""


class Sent(msgspec.Struct, frozen=True):
    """What this instance remembers of a job it made: its model and the ids of its requests."""

    model: str
    ids: tuple[str, ...]


class EnvelopeBatchProvider(BaseBatchProvider):
    """Batches at one of Headgate's providers.

    `config` may hold `api_key` and `base_url` (else both are found as everywhere in Headgate: environment, ``.env``), variables of the
    provider's address by their names, `hosts` (URLs of its further hosts by their keys), `timeout` seconds for one call, `models` that
    are supported beside those of the catalog, `max_prompts_per_batch`, and `receipts` False to book nothing. A `base_url` replaces the
    provider's whole address, and may be a private one. Results that are fetched leave receipts in the ledger, once.
    """

    PROVIDER: ClassVar[Provider | None] = None
    """The record, when it is not the one Headgate has under the name."""

    def __init__(self, config: Mapping[str, Json] | None = None) -> None:
        super().__init__(config)
        self._sent: dict[str, Sent] = {}
        self._unclear: dict[str, float] = {}

    @property
    def provider(self) -> Provider:
        """The record behind the class. Raises `ProviderPermanentError` for a name without a batch API."""
        with self._translated():
            found = self.PROVIDER or self._workspace.provider(self.PROVIDER_NAME)
        if found.batch is None:
            raise ProviderPermanentError(f"{self.PROVIDER_NAME} has no batch API here", self.PROVIDER_NAME)
        return found

    def supports_model(self, model: str) -> bool:
        """Whether the catalog has a model of that name here which takes batches; where it lists none, any may."""
        if model in (self.config.get("models") or ()):
            return True
        catalog = self._workspace.catalog
        card = catalog.find(self.provider.name, model)
        if card is None:
            entry = catalog.providers.get(self.provider.name)
            return bool(model) and (entry is None or not entry.models)
        return card.status != "retired" and card.capabilities.batch

    def prepare_payloads(
        self, batch_id: UUID, model: str, mode: BatchMode, requests: Requests, config: Mapping[str, Json] | None = None
    ) -> PreparedSubmission:
        """The requests as one submission. Raises `InvalidRequest` (a `ValueError`) when they need more than one: see `prepare_chunks`."""
        chunks = self.prepare_chunks(batch_id, model, mode, requests, config)
        if len(chunks) > 1:
            raise InvalidRequest(
                f"{len(requests):,} requests are more than one batch of {self.provider.label} holds: they need {len(chunks)}",
                hint="for prepared in provider.prepare_chunks(…): await provider.submit(prepared)",
            )
        return chunks[0]

    def prepare_chunks(
        self, batch_id: UUID, model: str, mode: BatchMode, requests: Requests, config: Mapping[str, Json] | None = None
    ) -> list[PreparedSubmission]:
        """The requests, in order, as as many submissions as the provider's limits make necessary; no key is needed yet.

        `config` goes before the provider's own. Raises `InvalidRequest`, and `ProviderPermanentError` for a retired model.
        """
        with self._translated():
            target = rendering_target(self.provider, model, self._workspace)
        wanted = BatchMode(mode)
        rows = rows_of(target, wanted, requests)
        groups = _grouped(target, rows, {**self.config, **(config or {})}.get("max_prompts_per_batch"))
        assert target.provider.batch is not None
        envelope = target.provider.batch.name
        return [
            PreparedSubmission(
                batch_id=batch_id,
                provider_name=self.PROVIDER_NAME,
                model=target.model,
                mode=wanted,
                payloads=[line_of(envelope, row) for row in group],
                config=dict(config or {}),
                chunk_index=index,
                total_chunks=len(groups),
            )
            for index, group in enumerate(groups)
        ]

    async def submit(self, prepared_submission: PreparedSubmission) -> ProviderSubmitResult:
        """Create the job. A submission whose fate was unclear is looked up before it is sent again, so that it never runs twice.

        Raises `ProviderTransientError` (try again, with the same submission) and `ProviderPermanentError`.
        """
        with self._translated():
            target = self._target(prepared_submission.model, prepared_submission.config)
            rows = _rows(target, prepared_submission)
            tag = job_tag(target, f"{prepared_submission.batch_id}/{prepared_submission.chunk_index or 0}", rows[0].endpoint)
            async with self._client(target) as client:
                handle = await self._known(client, tag, len(rows)) or await self._create(client, tag, rows)
                self._sent[handle.id] = Sent(target.model, tuple(row.custom_id for row in rows))
                first = await _first_look(self.PROVIDER_NAME, client, handle)
        at = handle.created_at if handle.created_at is not None else time.time()
        return ProviderSubmitResult(
            provider_batch_id=handle.id,
            status=first.status if first is not None else BatchStatus.UNKNOWN,
            raw_status=first.raw_status if first is not None else "",
            submitted_at=datetime.fromtimestamp(at, UTC),
            metadata={"requests": len(rows), "tag": tag.key, "input_file": handle.input_file},
        )

    async def poll_status(self, provider_batch_id: str) -> ProviderStatus:
        """One look. A job that is over but whose results are not there yet is still `finalizing`."""
        with self._translated(provider_batch_id):
            async with self._client(self._target(None)) as client:
                return status_of(self.PROVIDER_NAME, provider_batch_id, await client.status(BatchHandle(provider_batch_id)))

    async def fetch_results(self, provider_batch_id: str) -> list[ProviderResultRow]:
        """Every row of a job that is over, also of one that expired, failed or was cancelled with a part of its rows done.

        For a job that this instance sent there is one row for each request, in their order; those that the results do not mention are
        errors. Raises `ProviderTransientError` while the job is not over.
        """
        with self._translated(provider_batch_id):
            target = self._target(None)
            async with self._client(target) as client:
                handle = BatchHandle(provider_batch_id)
                state = await client.status(handle)
                if not over(state):
                    raise ProviderTransientError(f"the batch is not over: {state.raw_status!r}", self.PROVIDER_NAME, provider_batch_id)
                rows = await job_rows(client, target, handle, state)
            target = self._answering(target, provider_batch_id, rows)
            at = state.created_at if state.created_at is not None else time.time()
            if self.config.get("receipts") is not False:
                await book_job(self._workspace.settings, target, provider_batch_id, rows, at)
        found = [result_row(target, row, at) for row in rows]
        sent = self._sent.get(provider_batch_id)
        return found if sent is None else _matched(found, sent.ids, state)

    async def cancel(self, provider_batch_id: str) -> bool:
        """Ask for a stop. True when the provider will, False when the job was over already."""
        with self._translated(provider_batch_id):
            async with self._client(self._target(None)) as client:
                return await stop_job(client, BatchHandle(provider_batch_id))

    @cached_property
    def _workspace(self) -> Workspace:
        return read_workspace()

    @contextmanager
    def _translated(self, batch: str | None = None) -> Iterator[None]:
        """Turn Headgate's errors into the contract's; requests that are wrong stay `InvalidRequest`."""
        try:
            yield
        except InvalidRequest:
            raise
        except HeadgateError as error:
            raise contract_error(error, self.PROVIDER_NAME, batch) from error

    def _target(self, model: str | None, config: Mapping[str, Json] | None = None) -> Target:
        merged: JsonObject = {**self.config, **(config or {})}
        key, url, hosts = merged.get("api_key"), merged.get("base_url"), merged.get("hosts")
        names = {variable.name for variable in self.provider.variables}
        connection = Connection(
            api_key=Secret(str(key)) if key else None,
            base_url=str(url) if url else None,
            hosts={key: str(place) for key, place in hosts.items()} if isinstance(hosts, dict) else {},
            variables={name: str(value) for name, value in merged.items() if name in names},
        )
        return direct_target(self.provider, model, connection, self._workspace)

    def _client(self, target: Target) -> AbstractAsyncContextManager[BatchClient]:
        return batch_client(self._workspace.http(seconds_of(self.config.get("timeout"))), target)

    async def _known(self, client: BatchClient, tag: BatchTag, count: int) -> BatchHandle | None:
        """The job of an earlier try whose fate was unclear; None when there was none, or when it certainly does not exist.

        Raises `ProviderPermanentError` when jobs without a mark could be the one: sending it again might pay for it twice.
        """
        since = self._unclear.get(tag.key)
        if since is None:
            return None
        found = await client.find(tag, since - CLOCK_SKEW)
        mine = next((candidate.handle for candidate in found if candidate.matched_by == "tag"), None)
        likely = [candidate.handle.id for candidate in found if self._likely(candidate, count)]
        if mine is None and likely:
            raise ProviderPermanentError(
                f"an earlier try may have created this batch: one of {', '.join(likely)}", self.PROVIDER_NAME, hint="poll_status(batch id)"
            )
        del self._unclear[tag.key]
        return mine

    def _likely(self, candidate: Candidate, count: int) -> bool:
        return candidate.handle.id not in self._sent and candidate.total in (None, count)

    async def _create(self, client: BatchClient, tag: BatchTag, rows: tuple[BatchRequestRow, ...]) -> BatchHandle:
        """Create the job, and remember a try of which nobody knows whether it did."""
        begun = time.time()
        try:
            return await client.submit(tag, BatchRows(rows))
        except ProviderError as error:
            refused = not error.sent or (error.status is not None and 400 <= error.status < 500 and error.status != 408)
            if not refused:
                self._unclear.setdefault(tag.key, begun)
            raise
        except WireError as error:
            if error.fault == "remote":
                self._unclear.setdefault(tag.key, begun)
            raise

    def _answering(self, target: Target, batch: str, rows: list[JobRow]) -> Target:
        """The target with the model of the job: the one that was sent, else the one that the answers name."""
        sent = self._sent.get(batch)
        answered = next((row.response.model for row in rows if row.response is not None and row.response.model), "")
        model = sent.model if sent is not None else answered
        return msgspec.structs.replace(target, model=model, card=self._workspace.catalog.find(self.provider.name, model))


def _matched(found: list[ProviderResultRow], ids: tuple[str, ...], state: BatchState) -> list[ProviderResultRow]:
    """One row for each request, in the order they were sent: rows that are nobody's are left out, absent ones are made up as errors."""
    by_id = {row.request_id: row for row in found}
    strange = len(by_id.keys() - set(ids))
    if strange:
        _LOG.warning("%d result rows belong to no request that was sent", strange)
    return [by_id.get(id) or missing_row(id, state) for id in ids]


def _grouped(target: Target, rows: list[BatchRequestRow], most: Json) -> list[list[BatchRequestRow]]:
    """The rows in groups that fit one job each. Raises `InvalidRequest` for a row that fits none."""
    assert target.provider.batch is not None
    limits = target.provider.batch.limits
    if most is not None and (type(most) is not int or most < 1):
        raise InvalidRequest(f"max_prompts_per_batch must be a whole number of at least 1, not {most!r}")
    caps = ChunkLimits(min(limits.max_rows, most or limits.max_rows), limits.max_bytes, limits.max_tokens, limits.max_row_bytes)
    sizes = [RowSize(number, len(row.body) + ROW_OVERHEAD, estimate_tokens(len(row.body))) for number, row in enumerate(rows)]
    groups: list[list[BatchRequestRow]] = []
    for chunk in plan_chunks(sizes, caps):
        if isinstance(chunk, Oversized):
            raise InvalidRequest(f"requests[{chunk.seq}] fits no batch: {chunk.message}")
        groups.append([rows[seq] for seq in chunk.seqs])
    return groups


def _rows(target: Target, prepared: PreparedSubmission) -> tuple[BatchRequestRow, ...]:
    """The rows of a submission. Raises `InvalidRequest` for payloads that are none."""
    if not prepared.payloads:
        raise InvalidRequest("the submission has no payloads", hint="provider.prepare_payloads(…)")
    try:
        return tuple(row_of(line, endpoint_of(target), f"payloads[{number}]") for number, line in enumerate(prepared.payloads))
    except UsageError as error:
        raise InvalidRequest(error.message, hint=error.hint) from error


async def _first_look(name: str, client: BatchClient, handle: BatchHandle) -> ProviderStatus | None:
    """The state of a job that was just made; None when nobody says: it exists all the same."""
    try:
        return status_of(name, handle.id, await client.status(handle))
    except HeadgateError:
        return None
