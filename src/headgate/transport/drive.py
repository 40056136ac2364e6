"""Runs a flow: makes its calls one after another and sends it the replies."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

from headgate.errors import HeadgateError
from headgate.transport.http1 import HttpClient
from headgate.transport.settings import Origin
from headgate.wire.http import Answer, Call, Download, Flow, Headers

T = TypeVar("T")
Authorise: TypeAlias = Callable[[Call], Headers]
"""The credentials for one call, asked for at the moment it is sent."""


async def drive(flow: Flow[T], client: HttpClient, origin: Origin, authorise: Authorise, download_dir: Path) -> T:
    """Run `flow` to its end and return its result.

    A call that fails with a `HeadgateError` is thrown into the flow, which may handle it; whatever it does not handle is raised here.
    Downloads get fresh names in `download_dir`. When this task is cancelled, the flow is closed at its `yield`.
    """
    try:
        call = next(flow)
        while True:
            try:
                answer = await perform(call, client, origin, authorise(call), download_dir)
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
        return await client.download(origin, call, headers, download_dir / f"download-{secrets.token_hex(8)}")
    return await client.request(origin, call, headers)
