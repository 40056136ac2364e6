"""Virtual keys, put together from the settings in force."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headgate.assembly.parts import Parts
from headgate.config import Secret
from headgate.ledger import Ledger
from headgate.ledger.key_store import KeyStore
from headgate.ledger.keys import VirtualKey
from headgate.ledger.pepper import RANDOM_BYTES, open_pepper
from headgate.serving.auth import fixed_keys
from headgate.serving.key_ring import KeyRing


def key_store(parts: Parts, ledger: Ledger) -> KeyStore:
    """The keys of the ledger's database. Raises `ConfigError` or `StoreError` when the pepper is missing, open to others, or another."""
    return KeyStore(ledger.database, open_pepper(parts.settings.pepper, parts.settings.data_dir, secrets.token_bytes(RANDOM_BYTES)))


def key_ring(parts: Parts, store: KeyStore, key: Secret | None, on_key: Callable[[VirtualKey], None] | None = None) -> KeyRing:
    """The keys that let in: those of `store`, `key` for calls, and the settings' own for administration. Raises `ConfigError`."""
    return KeyRing(store, fixed_keys(key, parts.settings.admin_key), random=secrets.token_bytes(32), on_key=on_key)


@contextmanager
def opened_keys(parts: Parts) -> Iterator[KeyStore]:
    """The keys of the data folder while the block runs."""
    ledger = parts.ledger()
    try:
        yield key_store(parts, ledger)
    finally:
        ledger.close()
