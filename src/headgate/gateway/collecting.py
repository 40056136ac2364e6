"""Collecting an answer on its way to the client, for those who want to give it again."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from headgate.errors import HeadgateError
from headgate.ledger.receipt import Receipt
from headgate.serving.response import Answer, Response, Stream
from headgate.serving.stored import Collected, Stored, kept_headers

_LOG = logging.getLogger("headgate.server")


class Sink(Protocol):
    """Somebody who wants an answer. Told once, either way."""

    largest: int
    """Bytes it takes at most."""

    async def whole(self, stored: Stored | None, at: float) -> None:
        """A complete and successful answer was given (None: it is too long to be handed over), at `at` seconds since the epoch."""
        ...

    async def failed(self) -> None:
        """None was."""
        ...


async def collected(answer: Answer, sinks: Sequence[Sink], receipt: Callable[[], Receipt | None]) -> Answer:
    """`answer`, which is handed to `sinks` once it is complete; `receipt` is asked then for the receipt that belongs to it."""
    if not sinks:
        return answer
    if isinstance(answer, Response):
        await _hand_over(answer, answer.body, sinks, receipt())
        return answer
    chunks = _passing(answer, sinks, receipt)
    await anext(chunks)  # from here on, closing it closes what is inside
    return msgspec.structs.replace(answer, chunks=chunks)


async def _passing(stream: Stream, sinks: Sequence[Sink], receipt: Callable[[], Receipt | None]) -> AsyncGenerator[bytes, None]:
    found, complete = Collected(max(sink.largest for sink in sinks)), False
    try:
        async with aclosing(stream.chunks) as chunks:
            yield b""
            async for chunk in chunks:
                found.feed(chunk)
                yield chunk
        complete = True
    finally:
        await _hand_over(stream, found.body, sinks, receipt() if complete else None)


async def _hand_over(answer: Answer, body: bytes | None, sinks: Sequence[Sink], receipt: Receipt | None) -> None:
    """Tell the sinks. None of them fails an answer that was given and booked."""
    good = receipt is not None and receipt.status == "ok" and 200 <= answer.status < 300
    for sink in sinks:
        try:
            if receipt is None or not good:
                await sink.failed()
            else:
                fits = body is not None and len(body) <= sink.largest
                at = receipt.at + (receipt.duration or 0.0)
                await sink.whole(stored_of(answer, body, receipt, at) if body is not None and fits else None, at)
        except HeadgateError as error:
            _LOG.warning("an answer could not be kept: %s", error.message)


def stored_of(answer: Answer, body: bytes, receipt: Receipt, at: float) -> Stored:
    """The answer as it is kept, with what it cost and whose it was."""
    return Stored(
        status=answer.status,
        headers=kept_headers(answer.headers),
        body=body,
        stream=isinstance(answer, Stream),
        provider=receipt.provider,
        model=receipt.model,
        receipt=receipt.id,
        cost_nanos=receipt.cost_nanos,
        at=at,
    )
