"""uvicorn's HTTP/1.1 protocol with the bounds it lacks.

A deadline and a size for headers, targets in origin form only, an end to the patience with clients that do not read, a lingering close.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from headgate.serving.envelopes import PLAIN, Refused, error_response
from headgate.serving.limits import ServerLimits
from headgate.wire.json import JsonObject

_LIMITS = ServerLimits()
_UPGRADE_HEADERS = frozenset({b"upgrade", b"http2-settings"})
_PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class BoundedProtocol(HttpToolsProtocol):
    """One client connection. The deadline for headers runs from the connection, later from the first byte of the next request."""

    limits: ServerLimits = _LIMITS

    def __init__(
        self, config: Config, server_state: ServerState, app_state: JsonObject, _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._unread = 0
        self._in_body = False
        self._header_bytes = 0
        self._oversized = False
        self._declined = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(cast(asyncio.Transport, transport))  # uvloop's own classes do not inherit from asyncio's
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._disarm()
        self._stop_lingering()
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if not self._in_body:
            self._header_bytes += len(data)
            if self._deadline is None:
                self._arm()
        self._unset_keepalive_if_required()
        self._parse(data)
        if not self._in_body and self._header_bytes > self.limits.max_header_bytes and not self.transport.is_closing():
            self._refuse_headers()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("")
        except httptools.HttpParserUpgrade as error:
            self._decline_upgrade(data[error.args[0] :])

    def _decline_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, which whoever offers another protocol has to accept (RFC 9110, section 7.8).

        The parser takes what follows such a head for the other protocol: the body would be lost, or taken for a request of its own.
        """
        head, self._declined = self._declined, b""
        self.parser = httptools.HttpRequestParser(self)
        self._parse(head + rest)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._watch_reader()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HttpRequestParser`. Trailers are not kept."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        limit, self._in_body = self.limits.max_header_bytes, True
        self._oversized = self._header_bytes > limit and sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > limit
        self._header_bytes = 0
        self._disarm()
        if self._oversized:
            raise httptools.HttpParserError("the headers are too long")
        if not self.url.startswith(b"/") or self.parser.get_method() == b"CONNECT":
            raise httptools.HttpParserInvalidURLError("only targets in origin form are served")
        if self.parser.should_upgrade():
            self._in_body = False
            self._declined = self._head_without_upgrade()
            return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        if self._declined:
            return
        self._in_body = False
        self._stop_lingering()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Called when an answer is written. One that came before the end of its request leaves the client a moment to read it."""
        super().on_response_complete()
        self._watch_reader()
        if self._in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._linger = self.loop.call_later(self.limits.linger, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused."""
        if self._oversized:
            self._refuse_headers()
        else:
            self._refuse(400, "the request is not valid HTTP/1.1")

    def _head_without_upgrade(self) -> bytes:
        """The request's head once more, without what offers another protocol."""
        kept = b"".join(b"%b: %b\r\n" % pair for pair in self.headers if pair[0] not in _UPGRADE_HEADERS)
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        return line + kept + b"\r\n"

    def _refuse_headers(self) -> None:
        self._refuse(431, f"the request headers are longer than {self.limits.max_header_bytes} bytes")

    def _refuse(self, status: int, message: str) -> None:
        response = error_response(Refused(status, message), PLAIN)
        fields = (*response.headers, ("content-length", str(len(response.body))), ("connection", "close"))
        head = b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES[status])
        lines = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in fields)
        self._disarm()
        self.transport.write(head + lines + b"\r\n" + response.body)
        self.transport.close()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.limits.header_timeout, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch_reader(self) -> None:
        """From now on, what the client leaves unread must become less."""
        self._unread = self.transport.get_write_buffer_size()
        if self._unread and self._patience is None:
            self._patience = self.loop.call_later(self.limits.write_timeout, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        if self.transport.get_write_buffer_size() >= self._unread > 0:
            self.transport.abort()
        else:
            self._watch_reader()

    def _stop_lingering(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _expire(self) -> None:
        self._deadline = None
        if self._answer_pending():
            self.transport.abort()
        elif not self._header_bytes:
            self.transport.close()
        elif not self.transport.is_closing():
            self._refuse(408, f"the request headers took longer than {self.limits.header_timeout:g} s")

    def _answer_pending(self) -> bool:
        """An answer to an earlier request is under way: nothing may be written into it."""
        return self.cycle is not None and not self.cycle.response_complete


def bounded(limits: ServerLimits) -> type[BoundedProtocol]:
    """The protocol class for a server with these limits."""
    return type("Protocol", (BoundedProtocol,), {"limits": limits})
