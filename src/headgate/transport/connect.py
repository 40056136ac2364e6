"""From an origin to an open socket: name lookup, address guard, a race of addresses, CONNECT through a proxy, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from headgate.errors import ConfigError, ErrorKind, HeadgateError, ProviderError
from headgate.transport.faults import Place, network_error, timed_out
from headgate.transport.guard import check_public
from headgate.transport.request import connect_head
from headgate.transport.settings import Origin, parse_proxy

MAX_PROXY_HEAD = 16 << 10
RACE_DELAY = 0.25
"""Seconds before the next address is tried beside one that has not answered (RFC 8305)."""

Loop: TypeAlias = asyncio.AbstractEventLoop


class Address(msgspec.Struct, frozen=True):
    """One numeric address as the resolver gave it."""

    family: int
    sockaddr: tuple[object, ...]


async def open_connection(
    origin: Origin, factory: Callable[[], asyncio.Protocol], place: Place, tls: ssl.SSLContext | None, seconds: float
) -> asyncio.Protocol:
    """The protocol made by `factory`, connected to `origin`, after at most `seconds`.

    Raises `ProviderError` (`sent` False) when the network, the proxy or TLS fails, `ConfigError` for an address the guard refuses.
    Cancelled or failed, it leaves no socket behind.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            sock = await _open_socket(origin, loop)
            if origin.proxy is not None and tls is not None:
                await _tunnel(sock, origin, place, loop)
            _, protocol = await loop.create_connection(factory, sock=sock, ssl=tls, server_hostname=origin.host if tls else None)
            return protocol
    except TimeoutError as error:
        raise timed_out(place, "connection", seconds, code="connect_timeout", sent=False) from error
    except OSError as error:
        raise network_error(error, place, sent=False) from error


async def _open_socket(origin: Origin, loop: Loop) -> socket.socket:
    """A TCP connection to the origin, or to its proxy: that one is the operator's own choice and not guarded."""
    if origin.proxy is not None:
        proxy = parse_proxy(origin.proxy)
        return await _race(await _resolve(proxy.host, proxy.port, loop), loop)
    addresses = await _resolve(origin.host, origin.port, loop)
    if not origin.allow_private:
        check_public(origin.host, [str(address.sockaddr[0]) for address in addresses])
    return await _race(addresses, loop)


async def _resolve(host: str, port: int, loop: Loop) -> list[Address]:
    """All addresses, families alternating, the resolver's first choice first."""
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    addresses = list(dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in found))
    first = [address for address in addresses if address.family == addresses[0].family]
    second = [address for address in addresses if address.family != addresses[0].family]
    mixed = [address for pair in zip(first, second, strict=False) for address in pair]
    return mixed + first[len(second) :] + second[len(first) :]


async def _race(addresses: list[Address], loop: Loop) -> socket.socket:
    """The first address to accept. The next one starts when the last has failed or been silent for `RACE_DELAY`."""
    if len(addresses) == 1:
        return await _dial(addresses[0], loop)
    running: set[asyncio.Task[socket.socket]] = set()
    waiting = list(addresses)
    failure: BaseException | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(_dial(waiting.pop(0), loop)))
            done, running = await asyncio.wait(running, timeout=RACE_DELAY if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    running |= done - {task}
                    return task.result()
                failure = failure or task.exception()
    finally:
        await _abandon(running)
    assert failure is not None
    raise failure


async def _abandon(tasks: set[asyncio.Task[socket.socket]]) -> None:
    """End the losers of a race and close what they may have opened."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


async def _dial(address: Address, loop: Loop) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


async def _tunnel(sock: socket.socket, origin: Origin, place: Place, loop: Loop) -> None:
    """Ask the proxy for a tunnel. Raises `ProviderError` for any answer but 2xx; the socket is then closed."""
    try:
        await loop.sock_sendall(sock, connect_head(origin))
        head = b""
        while b"\r\n\r\n" not in head:
            data = await loop.sock_recv(sock, 4096)
            head += data
            if not data or len(head) > MAX_PROXY_HEAD:
                raise _proxy_error(place, "the proxy gave no valid answer to CONNECT")
        _check_tunnel(head, place)
    except BaseException:
        sock.close()
        raise


def _check_tunnel(head: bytes, place: Place) -> None:
    line = head.partition(b"\r\n")[0].decode("latin-1")
    words = line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not head.endswith(b"\r\n\r\n"):
        raise _proxy_error(place, "the proxy gave no valid answer to CONNECT")
    if len(words[1]) != 3 or not words[1].startswith("2"):
        raise _proxy_error(place, f"the proxy refused the tunnel: {words[1]!r}")


def _proxy_error(place: Place, what: str) -> HeadgateError:
    return ProviderError(
        ErrorKind.CONNECTION,
        f"{place.url}: {what}",
        code="proxy",
        fault="network",
        hint="check the proxy: setting of this provider, its user and password included",
        sent=False,
    )


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Certificate and host name are always verified. Without `ca_file`: the system's authorities, or those of ``SSL_CERT_FILE``.

    Raises `ConfigError` when `ca_file` cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"ca_file cannot be used: {ca_file} ({error})", hint=f"openssl x509 -noout -subject -in {ca_file}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context
