"""Tool call ids in this wire's alphabet (translation case 12).

Ids of other wires that do not fit are encoded, so that equal ids stay equal and the original comes back when the wire's id returns. Ids of
more than 45 bytes do not fit even encoded: they become a digest, which keeps them apart but cannot be undone.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import sha256

_FITS = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ENCODED = "hgx-"
_DIGEST = "hgd-"
_LONGEST = 64


def wire_id(identifier: str) -> str:
    """A call id as this wire takes it."""
    if _FITS.fullmatch(identifier) and not was_encoded(identifier):
        return identifier
    raw = identifier.encode("utf-8", "replace")
    encoded = _ENCODED + urlsafe_b64encode(raw).decode().rstrip("=")
    return encoded if len(encoded) <= _LONGEST else _DIGEST + sha256(raw).hexdigest()[: _LONGEST - len(_DIGEST)]


def original_id(identifier: str) -> str:
    """The id that `wire_id` encoded; any other id unchanged."""
    found = _decoded(identifier)
    return identifier if found is None else found


def was_encoded(identifier: str) -> bool:
    """Whether `original_id` gives another id."""
    return _decoded(identifier) is not None


def _decoded(identifier: str) -> str | None:
    if not identifier.startswith(_ENCODED):
        return None
    body = identifier[len(_ENCODED) :]
    try:
        found = urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
    except (Error, ValueError):
        return None
    return found if wire_id(found) == identifier else None
