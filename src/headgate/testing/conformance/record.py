"""The provider's record: addresses, headers and names that cannot surprise whoever uses them."""

from __future__ import annotations

import re

from headgate.client import filled
from headgate.dialects.base import ChatDialect
from headgate.dialects.batch import BatchDialect
from headgate.errors import ConfigError
from headgate.testing.conformance.case import Entry, Subject, batch, catalogued, expect, expect_equal, fail
from headgate.transport.settings import parse_origin
from headgate.wire.http import Headers

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
"""A header value without CR, LF, NUL or anything beyond ASCII (RFC 9110, section 5.5)."""

CANARY = "the-key-under-test"


def _names(subject: Subject) -> None:
    provider = subject.provider
    expect(_NAME.fullmatch(provider.name) is not None, f"the name {provider.name!r} must be lower-case letters, digits and dashes")
    expect(bool(provider.label) and provider.label.isprintable(), f"{provider.name} needs a printable label, not {provider.label!r}")


def _address(subject: Subject) -> None:
    provider = subject.provider
    try:
        examples = {variable.name: variable.default or variable.example for variable in provider.variables}
        origin = parse_origin(filled(provider.base_url, examples), allow_private=provider.allow_private)
    except ConfigError as error:
        fail(f"base_url is refused: {error}")
    expect(not provider.base_url.endswith("/"), "base_url must not end in a slash: dialect paths are appended to it")
    expect(origin.scheme == "https" or provider.allow_private, "plain http is for providers that allow private addresses")
    expect(not provider.base_path or re.fullmatch(r"(/[\w.~-]+)+", provider.base_path) is not None, f"base_path {provider.base_path!r}")
    expect(provider.base_url_env is None or _VARIABLE.fullmatch(provider.base_url_env) is not None, "base_url_env is no variable name")


def _authentication(subject: Subject) -> None:
    auth = subject.provider.auth
    _check_headers(auth.headers(CANARY))
    if auth.sign is None:
        expect_equal("".join(value for _, value in auth.headers(CANARY)).count(CANARY), 1, "times the key is sent")
    expect(bool(auth.env or auth.parts or auth.optional), "auth.env must name the variables a key is looked for in")
    for name in (*auth.env, *(part.removesuffix("?") for part in auth.parts), *subject.provider.url_env):
        expect(_VARIABLE.fullmatch(name) is not None, f"auth.env: {name!r} is no variable name")
    expect_equal(len(set(auth.env)), len(auth.env), "variables of auth.env that differ")
    expect(auth.default is None or subject.provider.simulated, "only a simulated provider may come with a key")


def _headers(subject: Subject) -> None:
    provider = subject.provider
    _check_headers(provider.headers)
    names = [name for name, _ in provider.headers]
    expect(provider.auth.header not in names, "the header of the key must not be among the fixed ones")
    expect_equal(sorted(set(names)), sorted(names), "fixed header names")


def _check_headers(headers: Headers) -> None:
    for name, value in headers:
        expect(_TOKEN.fullmatch(name) is not None, f"header name {name!r} must be a lower-case token")
        expect(_VALUE.fullmatch(value) is not None, f"the value of header {name!r} holds characters that may not be sent")


def _default_model(subject: Subject) -> None:
    card = subject.card
    if card is None:
        fail(f"the catalog has no card for the default model {subject.provider.default_model!r}")
    expect(card.status != "retired", f"the default model {card.name} is retired")
    expect(bool(card.prices), f"the default model {card.name} is unpriced")


def _chat_complete(subject: Subject) -> None:
    chat = subject.chat
    _check_complete(chat, ("name", "stream_type", "reads", "conversational"))
    expect(bool(chat.name) and "/" in chat.stream_type, "a chat dialect has a name and a media type for its streams")


def _batch_complete(subject: Subject) -> None:
    provider, dialect = subject.provider, subject.provider.batch
    expect_equal(dialect is not None, bool(provider.batch_endpoint), "batch_endpoint is set exactly where there is a batch dialect")
    if dialect is None:
        return
    _check_complete(dialect, ("name", "limits"), optional=("delete",))
    expect(provider.batch_endpoint.startswith("/"), "batch_endpoint must start with a slash")
    unknown = set(provider.batch_variables) - {variable.name for variable in provider.variables}
    expect(not unknown, f"batch_variables names {', '.join(sorted(unknown))}, which are no variables of the provider")
    expect(dialect.limits.max_rows > 0 and dialect.limits.max_bytes > 0, "batch limits must be positive")
    expect(provider.max_age > 0, "max_age must be positive")


def _check_complete(dialect: ChatDialect | BatchDialect, values: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """Complete or absent: a dialect without one of its functions is no dialect, but for those that are `optional`."""
    for field in dialect.__struct_fields__:
        found = getattr(dialect, field)
        if field not in values and not (field in optional and found is None):
            expect(callable(found), f"{dialect.name}.{field} is no function")


def _polling(subject: Subject) -> None:
    polling = subject.provider.polling
    expect(0 < polling.first <= polling.longest, f"polling must grow from {polling.first} to {polling.longest}")


def _simulation(subject: Subject) -> None:
    provider = subject.provider
    if provider.simulated:
        expect(provider.base_url_env is not None, "a simulated provider is moved by a variable")
        expect(provider.auth.default is not None, "a simulated provider needs no key")
        expect(provider.allow_private, "a simulated provider lies at a private address")


ENTRIES = (
    Entry("record-names", _names),
    Entry("record-address", _address),
    Entry("record-authentication", _authentication),
    Entry("record-headers", _headers),
    Entry("record-default-model", _default_model, (catalogued,)),
    Entry("record-chat-complete-or-absent", _chat_complete),
    Entry("record-batch-complete-or-absent", _batch_complete),
    Entry("record-polling", _polling, (batch,)),
    Entry("record-simulation", _simulation),
)
