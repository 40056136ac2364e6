"""HTTP/1.1 byte by byte, for what no HTTP client would send.

::

    wire = RawWire(port)
    wire.send(request_bytes("POST", "/v1/messages", b"{}", content_length="900"))
    assert wire.reply().status == 408
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import NamedTuple

KEY = "hg-0123456789abcdef0123456789abcdef"
PATIENCE = 10.0


class Reply(NamedTuple):
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawWire:
    """A client socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(data)

    def read_to_end(self) -> bytes:
        """Everything until the server closes."""
        parts = []
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def reply(self) -> Reply:
        """One response with a content-length."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.socket.recv(65536)
            assert part, f"closed after {data!r}"
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += self.socket.recv(65536)
        return Reply(int(status.split()[1]), headers, body)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def __enter__(self) -> RawWire:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def request_bytes(method: str, path: str, body: bytes = b"", *, key: str | None = KEY, **headers: str) -> bytes:
    """A request with Host, key (None: without one) and content-length; keyword arguments are headers, with ``_`` for each dash."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    bearer = {} if key is None else {"authorization": f"Bearer {key}"}
    fields = {"host": "127.0.0.1", **bearer, "content-length": str(len(body)), **given}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
