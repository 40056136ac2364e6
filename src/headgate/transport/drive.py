"""Runs a flow: makes its calls one after another and sends it the replies."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

from headgate.errors import HeadgateError
from headgate.transport.download import save_bytes
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin
from headgate.wire.http import Answer, Call, Download, Flow, Headers, Save

T = TypeVar("T")
Authorise: TypeAlias = Callable[[Call], Headers]
"""The credentials for one call, asked for at the moment it is sent."""
Place: TypeAlias = Callable[[Call], tuple[Origin, Call]]
"""Where a call goes, and the call as it is wanted there."""


async def drive(
    flow: Flow[T], client: HttpClient, origin: Origin, authorise: Authorise, download_dir: Path, place: Place | None = None
) -> T:
    """Run `flow` to its end and return its result. Calls go to `origin` as they are, unless `place` says otherwise.

    A call that fails with a `HeadgateError` is thrown into the flow, which may handle it; whatever it does not handle is raised here.
    Downloads and saved bytes get fresh names in `download_dir`. When this task is cancelled, the flow is closed at its `yield`.
    """
    try:
        call = next(flow)
        while True:
            try:
                if isinstance(call, Save):
                    answer: Answer = await save_bytes(call.data, _fresh(download_dir))
                else:
                    address, placed = (origin, call) if place is None else place(call)
                    answer = await perform(placed, client, address, authorise(placed), download_dir)
            except HeadgateError as error:
                call = flow.throw(error)
            else:
                call = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


async def perform(call: Call, client: HttpClient, origin: Origin, headers: Headers, download_dir: Path) -> Answer:
    """Make one call of a flow with `headers` added."""
    if isinstance(call, Download):
        return await client.download(origin, call, headers, _fresh(download_dir))
    return await client.request(origin, call, headers)


def _fresh(folder: Path) -> Path:
    return folder / f"download-{secrets.token_hex(8)}"
