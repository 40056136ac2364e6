"""One call to one target with a receipt for it, on whatever event loop there is. Every call opens and closes what it needs."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import msgspec

from headgate.client import ChatClient, Target
from headgate.client.chat import prepare
from headgate.client.direct import Workspace
from headgate.domain.content import Text
from headgate.domain.events import BlockStart, Delta, Failed, StreamEvent
from headgate.domain.request import Request
from headgate.domain.response import Response
from headgate.ledger import Ledger, Receipt, new_id
from headgate.ledger.receipt import RANDOM_BYTES
from headgate.serving.metering import Meter, Tab
from headgate.transport.http1 import HttpClient

T = TypeVar("T")


class Answered(msgspec.Struct, frozen=True):
    """A whole answer with its receipt."""

    response: Response
    receipt: Receipt


@asynccontextmanager
async def opened(workspace: Workspace, limit: float | None) -> AsyncIterator[tuple[HttpClient, Meter]]:
    """A client for calls of at most `limit` seconds, and a meter over the ledger of the data folder."""
    settings = workspace.settings
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    ledger = Ledger.open(settings.ledger_place)
    meter = Meter(ledger, time.time, lambda: new_id(time.time(), secrets.token_bytes(RANDOM_BYTES)))
    try:
        async with workspace.http(limit) as http:
            await meter.ready()
            yield http, meter
        await meter.drain()
    finally:
        ledger.close()


async def ask(workspace: Workspace, target: Target, request: Request, limit: float | None = None) -> Answered:
    """One whole answer. Raises `HeadgateError`; a receipt is written either way."""
    async with opened(workspace, limit) as (http, meter):
        tab = Tab(meter.call("library", target))
        async with tab.settled_now_by(meter):
            ready = prepare(target, msgspec.structs.replace(request, stream=None, stream_usage=None))
            tab.describe(request_bytes=len(ready.body), notes=ready.rendered.notes)
            tab.called = True
            exchange = await ChatClient(http).complete_prepared(target, ready, request_id=tab.call.id, limit=limit)
            tab.answered(exchange.response, exchange.upstream_id)
        assert tab.receipt is not None
        return Answered(exchange.response, tab.receipt)


async def stream(workspace: Workspace, target: Target, request: Request, limit: float | None = None) -> AsyncGenerator[str, None]:
    """Pieces of the answer's text. Raises `HeadgateError`, also for an answer that is cut; leaving early cancels the call."""
    async with opened(workspace, limit) as (http, meter):
        tab = Tab(meter.call("library", target, stream=True))
        async with tab.settled_now_by(meter):
            session = ChatClient(http).stream(target, request, request_id=tab.call.id)
            tab.describe(request_bytes=session.request_bytes, notes=session.notes)
            tab.called, tab.response = True, session.fold.response
            async with session, aclosing(aiter(session)) as events:
                tab.status, tab.upstream_id = 200, session.upstream_id
                texts: set[int] = set()
                async for event in events:
                    tab.first_byte = session.first_event
                    if piece := _text(event, texts):
                        yield piece
            tab.whole = session.complete


def _text(event: StreamEvent, texts: set[int]) -> str:
    """The text an event adds to the first choice; `texts` collects which of its blocks are text. Raises the error inside a stream."""
    if isinstance(event, Failed):
        raise event.error
    if isinstance(event, BlockStart) and event.choice == 0 and isinstance(event.head, Text):
        texts.add(event.block)
        return event.head.text
    return event.text if isinstance(event, Delta) and event.choice == 0 and event.block in texts else ""


def blocking(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Run `work` to its end: here, or in a thread of its own when this thread has a loop that is running (a notebook, say)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()
