"""A connection to Redis or Valkey: commands in batches, each within a deadline, a new connection after any failure."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec

from headgate.errors import ConfigError, StoreError, WireError
from headgate.wire.resp import RespError, RespReader, RespValue, render_command

Command: TypeAlias = tuple[str | bytes | int, ...]
CHUNK = 1 << 16
PATIENT = 2.0
"""Seconds for a check by hand."""
LOADING = frozenset({"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "OOM", "MISCONF", "NOAUTH", "WRONGPASS", "NOPERM"})
"""Errors that say that this server cannot serve us now, whatever is asked."""


class Hidden(Protocol):
    """A URL that is kept from being shown because it may hold a password: `headgate.config.Secret` is one."""

    def reveal(self) -> str:
        """The URL itself."""
        ...


class RedisAddress(msgspec.Struct, frozen=True):
    """Where a server is. Who we are there stays in its `url`."""

    host: str
    port: int
    database: int
    tls: bool
    url: Hidden

    @property
    def text(self) -> str:
        """The address without a password, for messages."""
        return f"{self.host}:{self.port}/{self.database}"


def parse_redis_url(url: Hidden) -> RedisAddress:
    """The address in ``redis://[user:password@]host[:port][/database]``, or ``rediss://`` for TLS. Raises `ConfigError`."""
    try:
        parts = urlsplit(url.reveal())
        port = parts.port or 6379
    except ValueError:
        raise _wrong_url() from None
    database = parts.path.strip("/") or "0"
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname or not (database.isascii() and database.isdigit()):
        raise _wrong_url()
    if parts.query or parts.fragment:
        raise _wrong_url()
    return RedisAddress(parts.hostname, port, int(database[:6]), parts.scheme == "rediss", url)


def _wrong_url() -> ConfigError:
    return ConfigError(
        "redis_url must be a URL such as redis://127.0.0.1:6379 or rediss://user:password@host:6379/0", hint="headgate doctor"
    )


class Redis:
    """One connection, made when it is needed. Not to be used from several event loops. `close` it."""

    def __init__(self, address: RedisAddress, *, timeout: float = 0.1, ca_file: str | None = None) -> None:
        self.address = address
        self._timeout = timeout
        self._tls = ssl.create_default_context(cafile=ca_file) if address.tls else None
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, commands: Sequence[Command]) -> list[RespValue]:
        """Send `commands` together and return their replies, errors among them, within the timeout of the connection.

        Raises `StoreError` when the server cannot be reached, does not answer in time, or cannot serve us: whether the commands were
        carried out is not known then.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout):
                    replies = await self._exchange(await self._connected(), commands)
            except TimeoutError as error:
                self._drop()
                raise self._failure(f"no answer within {self._timeout:g} s") from error
            except (OSError, WireError, EOFError) as error:
                self._drop()
                raise self._failure(str(error) or "the connection was closed") from error
            except BaseException:
                self._drop()
                raise
        self._check(replies)
        return replies

    async def close(self) -> None:
        """Close the connection."""
        self._drop()
        await asyncio.sleep(0)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            address = self.address
            name = address.host if self._tls else None
            self._streams = await asyncio.open_connection(address.host, address.port, ssl=self._tls, server_hostname=name)
            hello = _greeting(address)
            if hello:
                replies = await self._exchange(self._streams, hello)
                wrong = next((reply for reply in replies if isinstance(reply, RespError)), None)
                if wrong is not None:
                    raise WireError(wrong.text)
        return self._streams

    async def _exchange(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], commands: Sequence[Command]) -> list[RespValue]:
        reader, writer = streams
        writer.write(b"".join(map(render_command, commands)))
        await writer.drain()
        parser = RespReader()
        replies: list[RespValue] = []
        while len(replies) < len(commands):
            data = await reader.read(CHUNK)
            if not data:
                raise EOFError
            replies += parser.feed(data)
        return replies

    def _check(self, replies: Sequence[RespValue]) -> None:
        for reply in replies:
            if isinstance(reply, RespError) and reply.code in LOADING:
                self._drop()
                raise self._failure(reply.text)

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    def _failure(self, why: str) -> StoreError:
        return StoreError(f"Redis at {self.address.text}: {why}", hint=f"redis-cli -h {self.address.host} -p {self.address.port} ping")


def _greeting(address: RedisAddress) -> list[Command]:
    commands: list[Command] = []
    parts = urlsplit(address.url.reveal())
    if parts.password:
        login = (parts.username, parts.password) if parts.username else (parts.password,)
        commands.append(("AUTH", *map(unquote, login)))
    if address.database:
        commands.append(("SELECT", address.database))
    return commands


async def eviction_policy(address: RedisAddress, *, ca_file: str | None = None) -> str | None:
    """The server's ``maxmemory-policy``, for checks; None when it does not tell. Raises `StoreError` when it cannot be reached."""
    redis = Redis(address, timeout=PATIENT, ca_file=ca_file)
    try:
        (reply,) = await redis.run([("CONFIG", "GET", "maxmemory-policy")])
    finally:
        await redis.close()
    if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes):
        return reply[1].decode("ascii", "replace")
    return None
