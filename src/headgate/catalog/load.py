"""The shipped catalog, read once per process. It is compiled to JSON, so that no YAML is parsed when a command starts."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import msgspec

from headgate.catalog.cards import Catalog, ProviderCards
from headgate.errors import StoreError

COMPILED = Path(__file__).with_name("catalog.json")


class _Document(msgspec.Struct):
    digest: str
    providers: msgspec.Raw


def decode_catalog(data: bytes) -> Catalog:
    """The catalog in a compiled document. Raises `StoreError` when its bytes do not have the digest they carry."""
    try:
        document = msgspec.json.decode(data, type=_Document)
        body = bytes(document.providers)
        if hashlib.sha256(body).hexdigest() != document.digest:
            raise StoreError("the model catalog does not have the digest it carries", hint="pip install --force-reinstall headgate")
        return Catalog(msgspec.json.decode(body, type=tuple[ProviderCards, ...]), document.digest)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the model catalog is damaged: {error}", hint="pip install --force-reinstall headgate") from error


@lru_cache(maxsize=1)
def load_catalog() -> Catalog:
    """The catalog this version ships."""
    return decode_catalog(COMPILED.read_bytes())
