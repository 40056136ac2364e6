"""The sockets of several processes that listen on one port."""

from __future__ import annotations

import socket
import sys

from headgate.serving.server import listen

BALANCED = sys.platform == "linux"
"""Whether the kernel spreads connections over sockets that share a port (SO_REUSEPORT); elsewhere the processes share one socket."""


def listen_together(host: str, port: int, backlog: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one port (0: any free one). Raises `ConfigError` when another program has the port.

    The port is asked for without sharing first: otherwise a second gateway of the same user would get half of the first one's clients.
    """
    first = listen(host, port, backlog)
    if not BALANCED:
        return [first] * count
    place = first.getsockname()
    first.close()
    found: list[socket.socket] = []
    try:
        for _ in range(count):
            found.append(listen_again(first.family, place, backlog))
    except OSError:
        for one in found:
            one.close()
        listen(host, port, backlog).close()
        raise
    return found


def listen_again(family: int, place: tuple[str, int], backlog: int) -> socket.socket:
    """One more socket at `place`, beside those that are there. Raises `OSError`."""
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(place)
        listening.listen(backlog)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
