"""How often somebody may be wrong about a key (faults H2): pure, in bounded memory.

A wrong key that is well-formed costs a look into the store, and each peer has `BURST` of these, coming back at `RATE`. Keys that are
known already are never held up. Attempts on one id are counted as well, whoever makes them; that holds up only peers that were wrong
themselves, so that nobody can be locked out of a key by others who try to guess it.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address, ip_address, ip_network

BURST = 20.0
RATE = 1.0
"""Attempts a second that come back."""
TABLE = 4096
"""Peers and ids remembered; the longest untouched is forgotten first."""


class Buckets:
    """Attempts used, by name. `now` is in seconds of any clock that does not go back."""

    def __init__(self, size: int = TABLE) -> None:
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._size = size

    def __len__(self) -> int:
        return len(self._used)

    def used(self, name: str, now: float) -> float:
        """Attempts that count at present."""
        used, at = self._used.get(name, (0.0, now))
        return max(0.0, used - (now - at) * RATE)

    def add(self, name: str, now: float) -> None:
        """One attempt more."""
        self._used[name] = (min(BURST, self.used(name, now) + 1.0), now)
        self._used.move_to_end(name)
        if len(self._used) > self._size:
            self._used.popitem(last=False)


class Throttle:
    """Wrong keys of late, by peer and by the id they named."""

    def __init__(self, size: int = TABLE) -> None:
        self._peers = Buckets(size)
        self._ids = Buckets(size)

    def wait(self, peer: str, id: str, now: float) -> float:
        """Seconds until this peer may try this id; 0.0: at once."""
        own = self._peers.used(peer_name(peer), now)
        most = max(own, self._ids.used(id, now)) if own else own
        return max(0.0, (most - (BURST - 1.0)) / RATE)

    def wrong(self, peer: str, id: str, now: float) -> None:
        """The peer was wrong."""
        self._peers.add(peer_name(peer), now)
        self._ids.add(id, now)


def peer_name(address: str) -> str:
    """By what a peer is counted: its address, of IPv6 the network of 64 bits that one customer gets."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
