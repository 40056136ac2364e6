"""What the gateway reads of a request before it knows whether it has to understand it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

import msgspec

from headgate.client import Target
from headgate.dialects.base import ChatDialect, Note
from headgate.errors import ConfigError, Unsupported
from headgate.gateway.capped import notes_of
from headgate.gateway.errand import Visit
from headgate.gateway.parts import GatewayParts
from headgate.gateway.query import values_in
from headgate.router.reading import ROUTING_FIELDS
from headgate.serving.envelopes import Refused, Surface
from headgate.serving.metering import Tab
from headgate.serving.request import Request
from headgate.wire.json import encode

T = TypeVar("T")

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = msgspec.Raw(b"null")
_TRUE = frozenset({"true", "1"})
DESTINATIONS = ("base_url", "api_base", "api_key", "headers", "extra_headers")
"""Where a request goes, and with which key, is for the settings alone: no request names either (faults I5)."""
LONGEST_MODEL = 512
"""Longer names are not looked up: the search for near misses would hold up every other request."""


class Ask(msgspec.Struct, frozen=True):
    """A request body, opened one level deep: every value but the few named ones stays as its bytes came.

    `path` is the path as dialects read it, `array` says that the stream is to be one JSON array (Google's form without ``alt=sse``).
    `directed` are the fields that spoke to the gateway alone; they are no longer in the body.
    """

    body: bytes
    fields: dict[str, msgspec.Raw]
    model: str
    stream: bool
    path: str = ""
    array: bool = False
    directed: dict[str, msgspec.Raw] = {}


class Job(msgspec.Struct, frozen=True):
    """One visit to a deployment with a chat request: who asks what, on which surface, and its account."""

    parts: GatewayParts
    surface: Surface
    dialect: ChatDialect
    request: Request
    ask: Ask
    visit: Visit
    tab: Tab
    most: int | None = None
    """A lower maximum of output than the client's, when a budget or a key allows no more."""

    @property
    def target(self) -> Target:
        """Where it goes."""
        return self.visit.target

    @property
    def notes(self) -> tuple[Note, ...]:
        """What differs from what was asked for before anything is translated."""
        return notes_of(self.most, self.visit.errand.degraded)

    @property
    def same_dialect(self) -> bool:
        """The target speaks the client's dialect: bytes pass through."""
        return self.target.chat.name == self.dialect.name


def read_ask(body: bytes, request: Request) -> Ask:
    """Open a request whose body names the model. Where it directs the routing, it may leave the model out.

    ``?stream=true`` is as good as the field. Raises `Refused` (400) for what is no JSON object or a field of the wrong type, or for no
    model, `ConfigError` for a name that is too long to be any.
    """
    fields = open_body(body)
    check_destination(fields, request.query)
    model = read_field(fields, "model", str)
    stream = bool(read_field(fields, "stream", bool))
    body, fields, directed = split(body, fields)
    if not stream and "true" in values_in(request.query).get("stream", ()):
        stream, fields = True, {**fields, "stream": msgspec.Raw(b"true")}
        body = encode(fields)
    named = check_model(model) if model or not directed else ""
    return Ask(body, fields, named, stream, request.path, directed=directed)


def split(body: bytes, fields: dict[str, msgspec.Raw]) -> tuple[bytes, dict[str, msgspec.Raw], dict[str, msgspec.Raw]]:
    """The body and its fields without what is for the gateway alone, and that."""
    directed = {name: fields[name] for name in ROUTING_FIELDS if name in fields}
    if not directed:
        return body, fields, directed
    kept = {name: raw for name, raw in fields.items() if name not in directed}
    return encode(kept), kept, directed


def read_ask_in_path(body: bytes, request: Request) -> Ask:
    """Open a request whose path names the model and what is wanted, as ``MODEL:streamGenerateContent``. Raises as `read_ask` does."""
    fields = open_body(body)
    check_destination(fields, request.query)
    body, fields, directed = split(body, fields)
    name, _, verb = request.params[0].rpartition(":")
    model = check_model(name)
    stream = verb.startswith("stream")
    sse = "sse" in values_in(request.query).get("alt", ())
    version = request.path.lstrip("/").partition("/")[0]
    path = f"/{version}/models/{quote(name, safe='/')}:{verb}{'?alt=sse' if stream else ''}"
    return Ask(body, fields, model, stream, path, stream and not sse, directed)


def check_destination(fields: Mapping[str, msgspec.Raw], query: str = "") -> None:
    """Raises `Refused` (400) for a body or a query that would choose an address, headers or a key. Null chooses nothing."""
    named = next((name for name in DESTINATIONS if fields.get(name, _NULL) != _NULL), None)
    if named is None and query:
        given = values_in(query)
        named = next((name for name in DESTINATIONS if name in given), None)
    if named is not None:
        message = f"{named} is not accepted: where requests go, and with which key, is in the gateway's settings"
        raise Refused(400, message, code="destination_not_accepted", param=named)


def open_body(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, unread. Raises `Refused` (400)."""
    try:
        return _fields.decode(body)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, f"the request body must be a JSON object: {error}", code="invalid_json") from error


def check_model(model: str | None) -> str:
    """The name of a model as a client wrote it. Raises `Refused` (400) for none, `ConfigError` for one that is too long to be any."""
    if not model:
        raise Refused(400, "model must be given: GET /v1/models lists what can be asked", code="missing_model", param="model")
    if len(model) > LONGEST_MODEL:
        raise ConfigError(f"no model has a name longer than {LONGEST_MODEL} characters", hint="GET /v1/models lists what can be asked")
    return model


def read_field(fields: dict[str, msgspec.Raw], name: str, kind: type[T]) -> T | None:
    """One field, decoded; None when it is absent or null. Raises `Refused` (400) for another type."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, f"{name} is not as it must be: {error}", code="invalid_type", param=name) from error


def check_strict(request: Request, notes: tuple[Note, ...]) -> None:
    """For a client that wants no loss (``x-headgate-strict``), raises `Unsupported` for the first field that would not arrive as asked."""
    if notes and (request.header("x-headgate-strict") or "").strip().lower() in _TRUE:
        first = notes[0]
        raise Unsupported(f"{first.field} would be {first.action}: {first.reason}", param=first.field)


def check_choices(job: Job, wanted: int | None) -> None:
    """Raises `Unsupported` when several answers are wanted of a model that gives one (translation case 36)."""
    if wanted is not None and wanted > 1 and not job.target.capabilities.choices:
        raise Unsupported(f"{job.target.name} gives one answer per call, not {wanted}", param="n", hint="send the request n times")
