"""A batch job without a run around it: named, sent, looked at, and read to its last row. Nothing of it is kept on disk."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from headgate.client.batches import BatchClient
from headgate.client.target import Target
from headgate.dialects.batch import TERMINAL, BatchDialect, BatchHandle, BatchRow, BatchState, BatchTag, ResultFile
from headgate.dialects.openai_chat.usage import find_usage
from headgate.domain.response import Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, HeadgateError, ProviderError
from headgate.transport.http1 import HttpClient
from headgate.wire.json import Json, decode, obj

READ = 1 << 18


WITHOUT_CHAT = frozenset({"text_completion", "list"})
"""What answers of older completions and of embeddings call themselves on OpenAI's wire."""


class JobRow(msgspec.Struct, frozen=True):
    """A result row with the answer in it, or the error that stands in its place (a body the wire's dialect cannot read, say).

    An answer that is no chat has neither: its body is passed on as it is, with the `usage` in it.
    """

    row: BatchRow
    response: Response | None = None
    error: HeadgateError | None = None
    usage: Usage | None = None


def endpoint_of(target: Target) -> str:
    """The endpoint that chat rows of this target name."""
    return target.provider.batch_endpoint.replace("{model}", target.model)


def job_tag(target: Target, name: str, endpoint: str) -> BatchTag:
    """Our mark on a job: the same for the same `name`, so that a job whose creation was not confirmed can be found."""
    key = f"hg-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return BatchTag(key, "request", target.model, endpoint, f"headgate-{secrets.token_hex(16)}", variables=target.variables)


@asynccontextmanager
async def batch_client(http: HttpClient, target: Target) -> AsyncIterator[BatchClient]:
    """A client over `http` (closed here) whose downloads vanish with it."""
    with TemporaryDirectory(prefix="headgate-") as folder:
        async with http:
            yield BatchClient(http, target, Path(folder))


async def job_rows(client: BatchClient, target: Target, handle: BatchHandle, state: BatchState) -> list[JobRow]:
    """Every row of a job that is over, in the order of its files, each id once. Raises `ProviderError`."""
    files = await client.results(handle, state)
    return distinct([read_row(target, row) for row in _rows(client.dialect, files)])


def distinct(rows: Sequence[JobRow]) -> list[JobRow]:
    """The rows without those whose id came before: the first row of a request counts. Rows without an id stay."""
    seen: set[str] = set()
    kept: list[JobRow] = []
    for row in rows:
        id = row.row.custom_id
        if id is None or id not in seen:
            kept.append(row)
            seen.add(id or "")
    return kept


async def stop_job(client: BatchClient, handle: BatchHandle) -> bool:
    """Ask for a stop. False for a job that is over, also where the provider takes such a request in silence."""
    state = await client.status(handle)
    return state.status not in TERMINAL and await client.cancel(handle)


def read_row(target: Target, row: BatchRow) -> JobRow:
    """The row with its chat answer read."""
    if row.outcome != "succeeded" or row.body is None:
        missing = ProviderError(ErrorKind.UNKNOWN, f"the row came back {row.outcome} without a reason", status=row.status)
        return JobRow(row, error=row.error or missing)
    try:
        response = target.chat.parse_response(row.body)
        return JobRow(row, response=response, usage=response.usage)
    except HeadgateError as error:
        return _other(row, row.body) or JobRow(row, error=error)


class _Name(msgspec.Struct):
    object: Json = None


def _other(row: BatchRow, body: bytes) -> JobRow | None:
    """The row of an answer in another mode than chat; None when it is none."""
    try:
        if msgspec.json.decode(body, type=_Name).object not in WITHOUT_CHAT:
            return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
        return None
    return JobRow(row, usage=find_usage(obj(decode(body, what="the row's answer"), "the row's answer")))


def _rows(dialect: BatchDialect, files: list[ResultFile]) -> Iterator[BatchRow]:
    for file in files:
        decoder = dialect.row_decoder(file.kind)
        with open(file.path, "rb") as stream:
            while data := stream.read(READ):
                yield from decoder.feed(data)
        yield from decoder.close()
        os.unlink(file.path)
