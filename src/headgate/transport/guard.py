"""Which addresses a request may go to: the guard against server-side request forgery, pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from headgate.errors import ConfigError

_REFUSED_V4 = tuple(
    ip_network(block)
    for block in (
        "168.63.129.16/32",  # Azure's host agent, a global address by registration
        "192.88.99.0/24",  # 6to4 relays
    )
)
_EMBEDDING_V4 = tuple(
    ip_network(block)
    for block in (
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 inside a network
        "::/96",  # IPv4-compatible
    )
)


def is_public(address: str) -> bool:
    """Whether a numeric address is on the public internet, whatever IPv6 form an IPv4 address hides in."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        hidden = _hidden_v4(parsed)
        if hidden is not None:
            return is_public(str(hidden))
        if parsed.is_site_local:
            return False
    elif any(parsed in block for block in _REFUSED_V4):
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _hidden_v4(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in block for block in _EMBEDDING_V4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def check_public(host: str, addresses: list[str]) -> None:
    """Raise `ConfigError` when any of `addresses`, to which `host` resolves, is not public."""
    for address in addresses:
        if not is_public(address):
            raise ConfigError(
                f"refused to connect: {host} resolves to {address}, which is not a public address",
                hint="if this server is meant, set allow_private: true for its provider",
            )
