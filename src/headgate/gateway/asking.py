"""What the gateway reads of a request before it knows whether it has to understand it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from headgate.client import Target
from headgate.dialects.base import ChatDialect, Note
from headgate.errors import ConfigError, Unsupported
from headgate.gateway.parts import GatewayParts
from headgate.serving.envelopes import Refused, Surface
from headgate.serving.metering import Meter, Tab
from headgate.serving.request import Request

T = TypeVar("T")

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = frozenset({"true", "1"})
LONGEST_MODEL = 512
"""Longer names are not looked up: the search for near misses would hold up every other request."""


class Ask(msgspec.Struct, frozen=True):
    """A request body, opened one level deep: every value but the few named ones stays as its bytes came."""

    body: bytes
    fields: dict[str, msgspec.Raw]
    model: str
    stream: bool


class Job(msgspec.Struct, frozen=True):
    """One chat request on its way: who asks what, on which surface, for which target, and its account."""

    parts: GatewayParts
    meter: Meter
    surface: Surface
    dialect: ChatDialect
    request: Request
    ask: Ask
    target: Target
    tab: Tab

    @property
    def same_dialect(self) -> bool:
        """The target speaks the client's dialect: bytes pass through."""
        return self.target.chat.name == self.dialect.name

    @property
    def strict(self) -> bool:
        """The client wants no loss: any becomes an error."""
        return (self.request.header("x-headgate-strict") or "").strip().lower() in _TRUE


def read_ask(body: bytes) -> Ask:
    """Open a request body. Raises `Refused` (400) for what is no JSON object or a field of the wrong type, `ConfigError` for no model."""
    try:
        fields = _fields.decode(body)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, f"the request body must be a JSON object: {error}", code="invalid_json") from error
    model = read_field(fields, "model", str)
    if not model:
        raise Refused(400, "model must be given: GET /v1/models lists what can be asked", code="missing_model", param="model")
    if len(model) > LONGEST_MODEL:
        raise ConfigError(f"no model has a name longer than {LONGEST_MODEL} characters", hint="GET /v1/models lists what can be asked")
    return Ask(body, fields, model, bool(read_field(fields, "stream", bool)))


def read_field(fields: dict[str, msgspec.Raw], name: str, kind: type[T]) -> T | None:
    """One field, decoded; None when it is absent or null. Raises `Refused` (400) for another type."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, f"{name} is not as it must be: {error}", code="invalid_type", param=name) from error


def check_strict(job: Job, notes: tuple[Note, ...]) -> None:
    """In strict mode, raises `Unsupported` for the first field that would not arrive as asked."""
    if notes and job.strict:
        first = notes[0]
        raise Unsupported(f"{first.field} would be {first.action}: {first.reason}", param=first.field)


def check_choices(job: Job, wanted: int | None) -> None:
    """Raises `Unsupported` when several answers are wanted of a model that gives one (translation case 36)."""
    if wanted is not None and wanted > 1 and not job.target.capabilities.choices:
        raise Unsupported(f"{job.target.name} gives one answer per call, not {wanted}", param="n", hint="send the request n times")
