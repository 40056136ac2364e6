"""One request that is answered from within the protocol, by callbacks: nothing waits, so no task is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from headgate.serving.request import Request
from headgate.serving.response import Answer

Answerer: TypeAlias = Callable[[Request], Awaitable[Answer]]


class Line(Protocol):
    """The connection a turn is taken on."""

    writable: bool
    """The client takes more."""

    def put(self, data: bytes) -> None:
        """Hand bytes to the socket."""
        ...

    def turned(self, turn: Turn) -> None:
        """The answer is complete."""
        ...

    def hand_over(self, turn: Turn, answerer: Answerer | None) -> None:
        """The app, or `answerer`, is to answer instead. Nothing has been written."""
        ...

    def abandon(self, turn: Turn) -> None:
        """The answer ends here although it is not complete: the connection goes with it."""
        ...


def _nothing() -> None:
    """Nobody is to be told."""


class Turn:
    """A request (`fields`: its headers, `body`, what `admit` said as `token`) and the way to answer it.

    Either `whole`, or `begin`, any number of `piece`, and `end`; or `hand_over`, before anything else. `gone` is called once when the
    client goes away, `eased` when it takes more again, `stopping` when the server wants the answer to end now.
    """

    __slots__ = ("body", "chunked", "eased", "fields", "gone", "line", "loop", "over", "started", "stopping", "tail", "target", "token")

    def __init__(
        self, line: Line, loop: asyncio.AbstractEventLoop, target: bytes, fields: dict[str, bytes], body: bytes, token: object
    ) -> None:
        self.line = line
        self.loop = loop
        self.target = target
        self.fields = fields
        self.body = body
        self.token = token
        self.over = False
        self.started = False
        self.chunked = True
        self.tail = b""
        self.gone: Callable[[], None] = _nothing
        self.eased: Callable[[], None] = _nothing
        self.stopping: Callable[[], None] = _nothing

    def whole(self, head: bytes, body: bytes) -> None:
        """A whole answer. `head` is the status line and header lines, without the length and the empty line."""
        if not self.over:
            self._finish()
            self.line.put(b"%b%bcontent-length: %d\r\n\r\n%b" % (head, self.tail, len(body), body))
            self.line.turned(self)

    def begin(self, head: bytes) -> None:
        """The head of an answer in pieces, as `whole` takes it."""
        self.started = True
        self.line.put(b"%b%b%b\r\n" % (head, self.tail, b"transfer-encoding: chunked\r\n" if self.chunked else b"connection: close\r\n"))

    def piece(self, data: bytes) -> None:
        """A piece of the answer, not empty."""
        if not self.over:
            self.line.put(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def end(self) -> None:
        """The answer is complete."""
        if not self.over:
            self._finish()
            if self.chunked:
                self.line.put(b"0\r\n\r\n")
            self.line.turned(self)

    def _finish(self) -> None:
        self.over = True
        self.forget()

    def forget(self) -> None:
        """Nobody is to be told any more: whoever was knows this turn, and both would wait for the garbage collector."""
        self.gone = self.eased = self.stopping = _nothing

    def hand_over(self, answerer: Answerer | None = None) -> None:
        """Let the app answer, or `answerer` in its place. Only before anything was written."""
        if not self.over:
            self._finish()
            self.line.hand_over(self, answerer)

    def lose(self) -> None:
        """The client is gone."""
        if not self.over:
            gone = self.gone
            self._finish()
            gone()


class FastEndpoint(Protocol):
    """An endpoint that answers the ordinary case from within the protocol, without a task. Whatever is out of the ordinary it leaves."""

    def admit(self, fields: dict[str, bytes]) -> object | None:
        """Once the headers are there: who asks, in the endpoint's own terms; None leaves the request to the app."""
        ...

    def serve(self, turn: Turn) -> bool:
        """Once the body is there: begin to answer. False leaves the request to the app; nothing may have been done then."""
        ...
