"""The provider of `bench/runs.py`: a process of its own that speaks OpenAI chat and OpenAI batch and does next to nothing for it.

    python bench/runs_stub.py [SECONDS]

Prints its port, then answers until its standard input is closed. Every chat call gets the same answer, SECONDS after it came; a batch is
over as soon as it is looked at. ``GET /calls`` tells how many chat calls and rows of batches there were, and when the last of them came.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import cast

import httptools
import uvloop

NAMES = re.compile(rb'"custom_id":"([^"]{1,64})"')
WHY = "the words of the text say so, one after the other; " * 6
ANSWER = json.dumps({"label": "good", "score": 7, "why": WHY.strip()}, separators=(",", ":"))
COMPLETION = json.dumps(
    {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "sim-small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 280, "completion_tokens": 90, "total_tokens": 370},
    },
    separators=(",", ":"),
).encode()


def reply(body: bytes, kind: bytes = b"application/json") -> bytes:
    """A whole 200 reply."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nx-request-id: req-stub\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)


CHAT = reply(COMPLETION)
ROW = b'{"id":"r","custom_id":"%b","response":{"status_code":200,"request_id":"req","body":' + COMPLETION + b'},"error":null}\n'


class Provider:
    """What the stub remembers: the custom ids of each file, and the jobs."""

    def __init__(self) -> None:
        self.files: dict[str, list[bytes]] = {}
        self.jobs: dict[str, dict[str, object]] = {}
        self.uploads = 0
        self.calls = 0
        self.last = 0.0

    def touch(self, calls: int) -> None:
        """Count calls."""
        self.calls += calls
        self.last = time.time()

    def answer(self, method: bytes, path: str, body: bytes) -> bytes:
        """What anything but a chat call gets."""
        parts = path.partition("?")[0].strip("/").split("/")
        if parts == ["calls"]:
            return reply(json.dumps({"calls": self.calls, "last": self.last}).encode())
        if parts[-1] == "files" and method == b"POST":
            self.uploads += 1
            name = f"file-{self.uploads}"
            self.files[name] = NAMES.findall(body)
            return reply(json.dumps({"id": name, "object": "file"}).encode())
        if parts[-1] == "content":
            return reply(b"".join(ROW % name for name in self.files[parts[-2]]), b"application/jsonl")
        if parts[-1] == "batches" and method == b"POST":
            return reply(json.dumps(self.job(json.loads(body))).encode())
        if parts[-1] == "batches":
            return reply(json.dumps({"object": "list", "data": list(self.jobs.values())[::-1], "has_more": False}).encode())
        return reply(json.dumps(self.jobs.get(parts[-1], {"deleted": True})).encode())

    def job(self, wanted: dict[str, str]) -> dict[str, object]:
        """A job that is over."""
        rows = len(self.files[wanted["input_file_id"]])
        self.touch(rows)
        made: dict[str, object] = {
            **wanted,
            "id": f"batch_{len(self.jobs)}",
            "object": "batch",
            "status": "completed",
            "output_file_id": wanted["input_file_id"],
            "created_at": int(time.time()),
            "request_counts": {"total": rows, "completed": rows, "failed": 0},
        }
        self.jobs[str(made["id"])] = made
        return made


class Stub(asyncio.Protocol):
    """One client connection."""

    def __init__(self, provider: Provider, seconds: float) -> None:
        self.provider = provider
        self.seconds = seconds
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport | None = None
        self.url = b""
        self.body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.transport = None

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        self.url = url
        self.body.clear()

    def on_body(self, data: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        self.body += data

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        if not self.url.endswith(b"/chat/completions"):
            self.write(self.provider.answer(self.parser.get_method(), self.url.decode(), bytes(self.body)))
            return
        self.provider.touch(1)
        if self.seconds:
            asyncio.get_running_loop().call_later(self.seconds, self.write, CHAT)
        else:
            self.write(CHAT)

    def write(self, data: bytes) -> None:
        """Write unless the client has gone."""
        if self.transport is not None:
            self.transport.write(data)


async def main(seconds: float) -> None:
    """Serve on a free port of the loopback."""
    loop = asyncio.get_running_loop()
    provider = Provider()
    server = await loop.create_server(lambda: Stub(provider, seconds), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
