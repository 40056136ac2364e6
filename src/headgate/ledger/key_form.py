"""What a virtual key looks like, and what is kept of it (faults H1 to H5): pure.

::

    hg-k3v7m2q5x4ab-ujd6…32 characters…n2ra7qpx
       │            │                  └ checksum: a typing mistake is told without asking the store
       │            └ secret, 160 random bits
       └ public id, by which it is found

Kept is an HMAC of the whole text under a pepper that lies outside the database: a stolen database opens nothing, and what it holds is
no key. Keys of the form ``gs_live_`` or ``gs_test_`` and 32 characters can be brought along from elsewhere; they carry no id and no
checksum, so theirs is derived from the text.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from collections.abc import Callable
from hashlib import blake2s, sha256

import msgspec

from headgate.config import Secret

ID_BYTES, SECRET_BYTES = 8, 20
"""Random bytes that an id and a secret are made of."""
SHAPE = re.compile(rb"[A-Za-z0-9_-]{20,128}")
"""What is looked at at all (faults H5)."""
_ID, _SECRET, _CHECK = 12, 32, 4
_OWN = re.compile(rb"hg-([a-z2-7]{12})-[a-z2-7]{32}([a-z2-7]{4})")
_IMPORTED = re.compile(rb"gs_(?:live|test)_[A-Za-z0-9_-]{32}")
_NOTHING = bytes(32)

Compare = Callable[[bytes, bytes], bool]


def new_id(random: bytes) -> str:
    """A public id out of `ID_BYTES` random bytes: 12 characters, 60 bits."""
    if len(random) != ID_BYTES:
        raise ValueError(f"an id needs {ID_BYTES} random bytes, not {len(random)}")
    return _base32(random)[:_ID]


def new_key(id: str, random: bytes) -> Secret:
    """A key for the public `id` out of `SECRET_BYTES` random bytes."""
    if len(random) != SECRET_BYTES:
        raise ValueError(f"a secret needs {SECRET_BYTES} random bytes, not {len(random)}")
    text = f"hg-{id}-{_base32(random)}"
    return Secret(text + _checksum(text.encode()))


def importable(raw: bytes) -> bool:
    """Whether `raw` is a key of another system that can be kept as it is."""
    return _IMPORTED.fullmatch(raw) is not None


class Pepper:
    """The secret under which keys are kept. Shows nothing of itself."""

    __slots__ = ("__audit", "__derive", "__mark", "__seal")

    def __init__(self, secret: Secret) -> None:
        self.__seal, self.__derive, self.__audit, self.__mark = (
            _keyed(secret.reveal().encode(), purpose) for purpose in (b"seal", b"id", b"audit", b"mark")
        )

    def __repr__(self) -> str:
        return "Pepper(…)"

    @property
    def audit(self) -> bytes:
        """The key of the chain of the audit trail."""
        return self.__audit

    @property
    def mark(self) -> bytes:
        """Eight bytes by which a pepper is known again."""
        return self.__mark[:8]

    def public_id(self, raw: bytes) -> str | None:
        """The id of a key as it was presented; None for what cannot be a key, by form or by checksum. Asks nothing but `raw`."""
        if not SHAPE.fullmatch(raw):
            return None
        own = _OWN.fullmatch(raw)
        if own is not None:
            return own[1].decode() if own[2] == _checksum(raw[:-_CHECK]).encode() else None
        return _base32(_keyed(self.__derive, raw))[:_ID] if importable(raw) else None

    def seal(self, raw: bytes) -> bytes:
        """What is kept of a key: 32 bytes."""
        return _keyed(self.__seal, raw)


class Seals(msgspec.Struct, frozen=True):
    """What is kept of one key: of its secret, and of the one before it, which is taken until `old_until` (seconds since the epoch)."""

    now: bytes
    old: bytes | None = None
    old_until: float | None = None

    def __repr__(self) -> str:
        return "Seals(…)"


def fits(seal: bytes, kept: Seals | None, now: float, compare: Compare = hmac.compare_digest) -> tuple[bool, bool]:
    """Whether `seal` is that of the present secret, and of the one before. Compares the same number of bytes whatever is kept (H1)."""
    present = compare(seal, _NOTHING if kept is None else kept.now)
    before = compare(seal, _NOTHING if kept is None or kept.old is None else kept.old)
    lasting = kept is not None and kept.old is not None and kept.old_until is not None and now < kept.old_until
    return present and kept is not None, before and lasting


def _keyed(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, sha256)


def _base32(data: bytes) -> str:
    return b32encode(data).decode().lower()


def _checksum(text: bytes) -> str:
    return _base32(blake2s(text, digest_size=5, person=b"hg-key").digest())[:_CHECK]
