"""Sending a body: in one write when it is in memory, else chunk by chunk, at the pace of the socket, until the server has heard enough."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from headgate.errors import WireError
from headgate.transport.connection import Connection
from headgate.transport.exchange import Exchange
from headgate.transport.faults import timed_out
from headgate.wire.http import Body, BytesBody

READ_AHEAD = 256 << 10
"""Bytes taken from the source at a time, in a worker thread."""


async def send_body(connection: Connection, exchange: Exchange, body: Body, stall_timeout: float) -> None:
    """Write all of `body`, one batch behind its reading, or stop when the response is already there (413, 401).

    A connection whose request was cut short is not used again.

    Raises `WireError` (local) when the source is shorter or longer than it said, `ProviderError` when the socket takes nothing for
    `stall_timeout` seconds. Failures of the connection are left in `exchange`.
    """
    chunks = iter(body)
    in_memory = isinstance(body, BytesBody)
    sent = 0
    batch = await _pull(chunks, in_memory=in_memory)
    while not (exchange.over or exchange.status):
        following = await _pull(chunks, in_memory=in_memory) if batch else batch
        sent += sum(map(len, batch))
        if sent > body.length or (not following and sent != body.length):
            word = "more" if sent > body.length else "fewer"
            raise WireError(f"the body to send has {word} bytes than the {body.length} it stated", fault="local")
        exchange.request_sent = not following
        connection.write(*batch)
        if not following:
            return
        await _drain(connection, exchange, stall_timeout)
        batch = following


async def _pull(chunks: Iterator[bytes], *, in_memory: bool) -> list[bytes]:
    """The next chunks, empty at the end. Sources that read files do so in a thread."""
    if in_memory:
        return _batch(chunks)
    return await asyncio.get_running_loop().run_in_executor(None, _batch, chunks)


def _batch(chunks: Iterator[bytes]) -> list[bytes]:
    batch: list[bytes] = []
    size = 0
    for chunk in chunks:
        if chunk:
            batch.append(chunk)
            size += len(chunk)
        if size >= READ_AHEAD:
            break
    return batch


async def _drain(connection: Connection, exchange: Exchange, stall_timeout: float) -> None:
    timer = asyncio.get_running_loop().call_later(stall_timeout, _stalled, connection, exchange, stall_timeout)
    try:
        await connection.drained()
    finally:
        timer.cancel()


def _stalled(connection: Connection, exchange: Exchange, seconds: float) -> None:
    exchange.settle(timed_out(connection.place, "progress of the upload", seconds, code="upload_stalled", sent=True))
    connection.leave(exchange)
