"""From what a job says to what the contract says: states and rows."""

from __future__ import annotations

from datetime import UTC, datetime

from headgate.batch_providers.dto import ProviderResultRow, ProviderStatus, usage_info
from headgate.batch_providers.enums import BatchStatus, normalize_provider_status
from headgate.batch_providers.exceptions import LONGEST
from headgate.client import Target
from headgate.client.jobs import JobRow
from headgate.dialects.batch import TERMINAL, BatchState
from headgate.dialects.batch_words import WORDS
from headgate.domain.response import Response
from headgate.errors import HeadgateError, ProviderError
from headgate.serving.job_receipts import row_cost
from headgate.wire.json import Json, JsonObject, decode

_ROW_WORDS = {"succeeded": "success", "errored": "error", "expired": "expired", "cancelled": "cancelled"}
_ENDED = ("completed_at", "ended_at", "finished_at", "failed_at", "expired_at", "cancelled_at", "endTime")


def over(state: BatchState) -> bool:
    """Whether the job has ended and its results, if any, are there."""
    return state.status in TERMINAL and not state.lagging


def status_of(provider: str, batch: str, state: BatchState) -> ProviderStatus:
    """A look at a job in the contract's words."""
    said = _said(state.errors[0]) if state.errors else None
    counts = {"total": state.total, "completed": state.succeeded, "failed": state.failed}
    return ProviderStatus(
        provider_batch_id=batch,
        status=_word(provider, state),
        raw_status=state.raw_status,
        progress=counts if any(count is not None for count in counts.values()) else None,
        error_message=said,
        completed_at=_ended_at(state) if over(state) else None,
        result_uri=state.output_ref,
        metadata={
            "created_at": _moment(state.created_at),
            "expires_at": _moment(state.expires_at),
            "errors": list(state.errors),
            "error_uri": state.error_ref,
        },
    )


def _word(provider: str, state: BatchState) -> BatchStatus:
    """Ends are told by the whole state (a word such as "ended" says little), the rest by the provider's word where it is known."""
    if state.status in TERMINAL:
        return BatchStatus.FINALIZING if state.lagging else BatchStatus(WORDS[state.status].contract)
    word = normalize_provider_status(provider, state.raw_status)
    return BatchStatus(WORDS[state.status].contract) if word is BatchStatus.UNKNOWN or word.is_terminal else word


def _said(error: JsonObject) -> str:
    return str(error.get("message") or error.get("code") or error)[:LONGEST]


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _ended_at(state: BatchState) -> datetime | None:
    """When the job ended, where the provider says so: epoch seconds or ISO 8601, in the job or its metadata."""
    raw = state.raw or {}
    metadata = raw.get("metadata")
    homes = (raw, metadata) if isinstance(metadata, dict) else (raw,)
    found = next((home[name] for home in homes for name in _ENDED if home.get(name)), None)
    if isinstance(found, int | float) and not isinstance(found, bool):
        return datetime.fromtimestamp(found, UTC)
    try:
        moment = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def result_row(target: Target, row: JobRow, at: float) -> ProviderResultRow:
    """One row. An answer that cannot be read, or that holds an error, is an error, whatever the status beside it says (BPS-31)."""
    body = _body(row)
    if row.error is not None:
        return _failed(row, row.error, body)
    cost = row_cost(target, row, at)
    return ProviderResultRow(
        request_id=row.row.custom_id or "",
        status="success",
        response=body,
        usage=usage_info(row.usage) if row.usage is not None else None,
        metadata={**_facts(row), **_heard(row.response), "cost_usd": None if cost.usd is None else str(cost.usd)},
    )


def _heard(response: Response | None) -> JsonObject:
    """What a chat answer says, in words that are the same for every provider."""
    if response is None:
        return {}
    finish = response.finish.value if response.finish is not None else None
    return {"text": response.text, "finish_reason": finish, "model": response.model}


def missing_row(request_id: str, state: BatchState) -> ProviderResultRow:
    """The row of a request that the results do not mention."""
    word = WORDS[state.status].contract
    status = word if word in ("expired", "cancelled") else "error"
    return ProviderResultRow(
        request_id=request_id,
        status=status,
        error=f"the batch ended as {state.raw_status!r} without this request",
        metadata={"error_code": "missing_row", "transient": True},
    )


def _body(row: JobRow) -> JsonObject | None:
    if row.row.body is None:
        return None
    found: Json = decode(row.row.body, what="the row's answer")
    return found if isinstance(found, dict) else None


def _facts(row: JobRow) -> JsonObject:
    return {"status_code": row.row.status, "provider_request_id": row.row.request_id, "line": row.row.line}


def _failed(row: JobRow, error: HeadgateError, body: JsonObject | None) -> ProviderResultRow:
    known = error if isinstance(error, ProviderError) else None
    return ProviderResultRow(
        request_id=row.row.custom_id or "",
        status="error" if row.row.outcome == "succeeded" else _ROW_WORDS[row.row.outcome],
        response=body,
        error=error.message[:LONGEST],
        metadata={
            **_facts(row),
            "error_kind": known.kind.value if known is not None else "unknown",
            "error_code": known.code if known is not None else None,
            "transient": known.transient if known is not None else False,
        },
    )
