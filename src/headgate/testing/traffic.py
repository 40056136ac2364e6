"""An HTTP client for tests that load a gateway: many connections in one loop, each of which can be left at any moment.

::

    async with Line(port) as line:
        heard = await line.ask("/v1/chat/completions", chat_body(stream=True))
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from types import TracebackType

import msgspec

from headgate.testing.raw_http import KEY

CHAT = "/v1/chat/completions"
_END = b"0\r\n\r\n"


class Heard(msgspec.Struct, frozen=True):
    """What came back: status 0 is no answer at all; `whole` says whether the answer was seen to its end. A stream's body is as framed."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


NOTHING = Heard(0, {}, b"", whole=False)


def chat_body(
    text: str = "hello", *, model: str = "sim-openai/sim-small", stream: bool = False, most: int | None = None, usage: bool = False
) -> bytes:
    """The body of a chat request on OpenAI's and Anthropic's surface alike."""
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": text}]}
    if stream:
        body["stream"] = True
    if usage:
        body["stream_options"] = {"include_usage": True}
    if most is not None:
        body["max_tokens"] = most
    return json.dumps(body).encode()


class Line:
    """One connection, opened again when it was closed. `on_head` is called when the head of an answer has come."""

    def __init__(self, port: int, key: str = KEY, on_head: Callable[[], None] = lambda: None) -> None:
        self.port = port
        self.key = key
        self._on_head = on_head
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: bytes, *, method: str = "POST", **headers: str) -> Heard:
        """Send a request and read its answer, to its end or to that of the connection. `OSError` is no answer."""
        head = NOTHING
        try:
            reader = await self.send(path, body, method=method, **headers)
            head = await self._head(reader)
            return await self._rest(reader, head)
        except (OSError, asyncio.IncompleteReadError):
            self.leave()
            return head

    async def send(self, path: str, body: bytes, *, method: str = "POST", **headers: str) -> asyncio.StreamReader:
        """Send a request and leave reading to the caller."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        fields = {"authorization": f"Bearer {self.key}", "content-type": "application/json", "content-length": str(len(body)), **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n{lines}\r\n".encode() + body)
        return self._reader

    async def _head(self, reader: asyncio.StreamReader) -> Heard:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self._on_head()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        return Heard(int(status.split()[1]), headers, b"", whole=False)

    async def _rest(self, reader: asyncio.StreamReader, head: Heard) -> Heard:
        if "transfer-encoding" not in head.headers:
            body = await reader.readexactly(int(head.headers.get("content-length", "0")))
            whole = True
        else:
            body, whole = b"", False
            while not whole and (piece := await reader.read(65536)):
                body += piece
                whole = body.endswith(_END)
        if not whole or head.headers.get("connection") == "close":
            self.leave()
        return msgspec.structs.replace(head, body=body, whole=whole)

    def leave(self, *, abruptly: bool = False) -> None:
        """Close the connection, whatever is under way on it; `abruptly` resets it."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is None:
            return
        if abruptly:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()

    async def __aenter__(self) -> Line:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()
