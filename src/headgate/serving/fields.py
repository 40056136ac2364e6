"""The headers of an ordinary request as a mapping; whatever has to be looked at more closely is none."""

from __future__ import annotations

ODD = frozenset(
    {
        "transfer-encoding",
        "content-encoding",
        "expect",
        "origin",
        "upgrade",
        "te",
        "trailer",
        "x-headgate-strict",
        "x-cache-control",
        "idempotency-key",
    }
)
"""Headers that make a request one for the app."""
_MOST = 1024
_names: dict[bytes, str] = {}


def plain_fields(raw: list[tuple[bytes, bytes]]) -> dict[str, bytes] | None:
    """Lower-case name to value. None when a header comes twice, is one of `ODD`, or has an underscore in its name (faults D12)."""
    fields: dict[str, bytes] = {}
    for name, value in raw:
        lowered = _names.get(name)
        if lowered is None:
            lowered = _learn(name)
        if not lowered or lowered in fields:
            return None
        fields[lowered] = value
    return fields


def _learn(name: bytes) -> str:
    lowered = name.decode("latin-1").lower()
    if lowered in ODD or "_" in lowered:
        lowered = ""
    if len(_names) < _MOST:
        _names[name] = lowered
    return lowered
