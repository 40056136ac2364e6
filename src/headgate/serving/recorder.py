"""Recording what a key asks and gets, and answering from what was recorded (per key, off by default; faults J3).

A cassette is one file: request and answer of one exchange, readable by its owner only, headers on an allow-list, secrets masked.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from headgate.errors import StoreError
from headgate.ledger.export import safe_name
from headgate.ledger.principal import Principal
from headgate.serving.cache_key import canonical, digest
from headgate.serving.envelopes import Refused
from headgate.serving.stored import Stored
from headgate.wire.http import Headers

FORM = 1
LARGEST = 32 << 20
_REQUEST_HEADERS = re.compile(r"content-type|anthropic-(?:version|beta)|x-headgate-strict|user-agent")


class Bytes(msgspec.Struct, frozen=True, omit_defaults=True):
    """A body: as text where it is UTF-8, else in Base64."""

    text: str | None = None
    base64: str | None = None


class Cassette(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange. `at` is seconds since the epoch."""

    form: int
    at: float
    surface: str
    path: str
    request_headers: Headers
    request: Bytes
    status: int
    headers: Headers
    body: Bytes
    stream: bool
    provider: str = ""
    model: str = ""


_decode = msgspec.json.Decoder(Cassette).decode


class Recorder:
    """Cassettes below `folder`, by tenant. `redact` masks secrets in everything that is written."""

    def __init__(self, folder: Path, redact: Callable[[str], str], largest: int = LARGEST) -> None:
        self._folder = folder
        self._redact = redact
        self.largest = largest

    async def lookup(self, principal: Principal, surface: str, path: str, body: bytes) -> Stored | None:
        """What was recorded for this request, for a key that replays; None for any other key.

        Raises `Refused` (404) when nothing was recorded, so that no call is made, and `StoreError` for a cassette that cannot be read.
        """
        if principal.recording != "replay":
            return None
        place = self._place(principal, surface, path, body)
        stored = await asyncio.to_thread(_read, place)
        if stored is None:
            raise Refused(
                404,
                "this key answers from recordings only, and there is none of this request",
                code="no_recording",
                hint="send it once with a key of the same tenant that records",
            )
        return stored

    async def keep(self, principal: Principal, surface: str, path: str, body: bytes, stored: Stored, request_headers: Headers = ()) -> bool:
        """Record an exchange, for a key that records; the newest of several stays. False when nothing was written. Raises `StoreError`."""
        if principal.recording != "record" or len(body) + len(stored.body) > self.largest:
            return False
        cassette = Cassette(
            form=FORM,
            at=stored.at,
            surface=surface,
            path=self._redact(path),
            request_headers=tuple((name, self._redact(text)) for name, text in request_headers if _REQUEST_HEADERS.fullmatch(name)),
            request=self._bytes(body),
            status=stored.status,
            headers=tuple((name, self._redact(text)) for name, text in stored.headers),
            body=self._bytes(stored.body),
            stream=stored.stream,
            provider=stored.provider,
            model=stored.model,
        )
        await asyncio.to_thread(_write, self._place(principal, surface, path, body), cassette)
        return True

    def _place(self, principal: Principal, surface: str, path: str, body: bytes) -> Path:
        """Where a cassette lies. Names come from hashes and from letters, digits and dashes of the tenant's name, nothing else."""
        tenant = principal.tenant.encode("utf-8", "surrogatepass")
        folder = f"{safe_name(principal.tenant)[:40]}-{hashlib.sha256(tenant).hexdigest()[:12]}"
        key = digest(surface.encode(), path.encode("utf-8", "surrogatepass"), *canonical(body))
        return self._folder / folder / f"{key.hex()}.json"

    def _bytes(self, data: bytes) -> Bytes:
        try:
            return Bytes(text=self._redact(data.decode("utf-8")))
        except UnicodeDecodeError:
            return Bytes(base64=base64.b64encode(data).decode("ascii"))


def _read(place: Path) -> Stored | None:
    try:
        cassette = _decode(place.read_bytes())
        if cassette.form != FORM:
            raise StoreError(f"{place} was recorded by another version of Headgate", hint=f"rm {place}")
        body = _raw(cassette.body)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{place} cannot be read: {error.strerror}", hint=f"ls -l {place}") from error
    except ValueError as error:
        raise StoreError(f"{place} is no recording: {error}", hint=f"rm {place}") from error
    return Stored(
        status=cassette.status,
        headers=cassette.headers,
        body=body,
        stream=cassette.stream,
        provider=cassette.provider,
        model=cassette.model,
        cost_nanos=0,
        at=cassette.at,
    )


def _raw(body: Bytes) -> bytes:
    return base64.b64decode(body.base64, validate=True) if body.base64 is not None else (body.text or "").encode()


def _write(place: Path, cassette: Cassette) -> None:
    partial = place.with_suffix(f".{os.getpid()}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(cassette), indent=1) + b"\n")
        partial.replace(place)
    except OSError as error:
        raise StoreError(f"{place} cannot be written: {error.strerror}", hint=f"ls -ld {place.parent}") from error
