"""A wire to a service that can be cut: a forwarder of TCP connections, in a thread of its own.

::

    with CutWire("127.0.0.1", 5432) as wire:
        ...  # connect to wire.port
        wire.cut()
        wire.mend()
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType


class CutWire:
    """Forwards what comes to `port` of loopback; while it is cut, connections are closed as soon as they come."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._over = asyncio.Event()
        self._whole = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), name="headgate-wire")
        self.port = 0

    def cut(self) -> None:
        """Drop every connection and let none through."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result()

    def mend(self) -> None:
        """Let connections through again."""
        self._whole = True

    async def _cut(self) -> None:
        self._drop()

    def _drop(self) -> None:
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._over.wait()
        server.close()
        self._drop()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        there, out = await asyncio.open_connection(*self._target)
        pair = {writer, out}
        self._writers |= pair
        try:
            await asyncio.gather(_pump(reader, out), _pump(there, writer))
        finally:
            self._writers -= pair
            writer.close()
            out.close()

    def __enter__(self) -> CutWire:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
