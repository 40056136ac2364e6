"""What the connections of one server share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Protocol

from headgate.serving.app import App
from headgate.serving.heads import Heads
from headgate.serving.limits import ServerLimits
from headgate.serving.turn import FastEndpoint
from headgate.transport.outbox import Outbox


class Member(Protocol):
    """A connection, as the server sees it."""

    @property
    def busy(self) -> bool:
        """A request is under way."""
        ...

    def dismiss(self) -> None:
        """Close as soon as nothing is under way."""
        ...

    def hurry(self) -> None:
        """Break off what is under way, with last words."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class House:
    """One server's app, limits and connections. `fast` are endpoints by request target, for POST."""

    def __init__(self, app: App, limits: ServerLimits, fast: Mapping[bytes, FastEndpoint]) -> None:
        self.app = app
        self.limits = limits
        self.fast = fast
        self.heads = Heads()
        self.loop = asyncio.get_running_loop()
        self.outbox = Outbox(self.loop)
        self.members: set[Member] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._hosts: set[bytes] = set()
        self.stopping = False
        self._quiet: asyncio.Event | None = None
        self._second = -1
        self._date = b""

    @property
    def date(self) -> bytes:
        """The Date header of this second, as a line."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = b"date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._date

    def admits(self, host: bytes | None) -> bool:
        """Whether the app answers to a Host header; good ones are remembered, a few of them."""
        if host in self._hosts:
            return True
        if host is None or not self.app.answers_to(host.decode("latin-1")):
            return False
        if len(self._hosts) < 64:
            self._hosts.add(host)
        return True

    def stop(self) -> None:
        """Close what is idle, and all else as soon as it is idle."""
        self.stopping = True
        for member in list(self.members):
            member.dismiss()

    def hurry(self) -> None:
        """Break off what is still under way."""
        for member in list(self.members):
            member.hurry()

    def abort(self) -> None:
        """Close every connection at once."""
        for member in list(self.members):
            member.abort()

    async def settled(self) -> None:
        """Wait for what the tasks of requests still do."""
        while self.tasks:
            await asyncio.wait(self.tasks)

    def left(self, member: Member) -> None:
        """A connection is closed."""
        self.members.discard(member)
        if self._quiet is not None and not self.members:
            self._quiet.set()

    async def empty(self, patience: float) -> bool:
        """Wait until every connection is closed, at most `patience` seconds; whether they are."""
        self._quiet = asyncio.Event()
        if not self.members:
            return True
        try:
            await asyncio.wait_for(self._quiet.wait(), patience)
        except TimeoutError:
            return False
        return True
