"""Where a call goes: values only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from headgate.catalog.cards import ModelCard
from headgate.client.tokens import TokenSource
from headgate.config import Secret, redact
from headgate.config.secret import SHORT
from headgate.dialects.base import ChatDialect
from headgate.domain.capabilities import Capabilities
from headgate.errors import ConfigError, ErrorKind, ProviderError
from headgate.providers import Provider
from headgate.providers.base import Outgoing, Route
from headgate.transport.headers import retry_after
from headgate.transport.settings import Origin, parse_origin
from headgate.wire.http import Call, Headers, Send

C = TypeVar("C", bound=Call)


class Credential(msgspec.Struct, frozen=True):
    """A key under the name of its account. The name is what submissions and receipts say; the key is never shown.

    With a `token` source, `key` is the token of the moment (see `Target.ready`).
    """

    account: str
    key: Secret
    token: TokenSource | None = None


class Target(msgspec.Struct, frozen=True):
    """One model of one provider, reached with one credential. `card` is None for a model the catalog does not know.

    `variables` are the provider's, `hosts` the addresses of its further hosts by their keys. `surface` is the wire chosen for it.
    """

    provider: Provider
    model: str
    credential: Credential
    origin: Origin
    card: ModelCard | None = None
    variables: Mapping[str, str] = {}
    hosts: Mapping[str, Origin] = {}
    surface: str | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do; what the provider declares for models without a card."""
        return self.provider.capabilities if self.card is None else self.card.capabilities

    @property
    def chat(self) -> ChatDialect:
        """The wire this target is asked in: the one chosen with `on`, else its card's surface, else the provider's usual one."""
        wanted = self.surface or (self.card.surface if self.card is not None else None)
        return (self.provider.speaks(wanted) if wanted else None) or self.provider.chat

    def on(self, name: str) -> Target:
        """This target asked in the wire `name`, where the provider serves the model on it; else this target as it is."""
        bound = self.card.surface if self.card is not None else None
        found = self.provider.carries(name, self.model)
        if found is None or (bound is not None and bound != found.name):
            return self
        return msgspec.structs.replace(self, surface=found.name)

    @property
    def name(self) -> str:
        """``provider/model``."""
        return f"{self.provider.name}/{self.model}"

    async def ready(self) -> Target:
        """This target with a key that is good now: itself, unless keys of its account run out."""
        source = self.credential.token
        if source is None:
            return self
        return msgspec.structs.replace(self, credential=msgspec.structs.replace(self.credential, key=await source.current()))

    def placed(self, call: C) -> C:
        """`call` with the path this provider wants. Raises `ConfigError` when the path needs a variable that is not set."""
        route = self.provider.route
        if route is None or call.host or "://" in call.path:
            return call
        return msgspec.structs.replace(call, path=routed(self.provider, route, call.path, self.model, self.variables))

    def headers(self, call: Call, request_id: str | None = None) -> Headers:
        """Headers for a placed call. `request_id` is ours, sent as ``x-client-request-id``."""
        own = (("x-client-request-id", request_id),) if request_id else ()
        auth, key = self.provider.auth, self.credential.key.reveal()
        proven = auth.headers(key) if auth.sign is None else auth.headers(key, self._outgoing(call))
        return (*self.provider.headers, *proven, *own)

    def address(self, call: Call) -> Origin:
        """Where `call` goes. Raises `ConfigError` for a host the provider has not."""
        if not call.host:
            return self.origin
        found = self.hosts.get(call.host)
        if found is None:
            raise ConfigError(f"{self.provider.label} has no address for {call.host}")
        return found

    def _outgoing(self, call: Call) -> Outgoing:
        origin = self.address(call)
        parts = urlsplit(call.path) if "://" in call.path else None
        path = f"{origin.base_path}{call.path}" if parts is None else f"{parts.path}?{parts.query}" if parts.query else parts.path
        method, body = call.method, call.body if isinstance(call, Send) else b"" if call.method == "GET" else None
        return Outgoing(
            method=method,
            host=origin.authority,
            path=path,
            headers=call.headers,
            body=body,
            at=time.time(),
            variables=self.variables,
            service=call.host,
        )


def routed(provider: Provider, route: Route, path: str, model: str, variables: Mapping[str, str]) -> str:
    """The path a provider wants. Raises `ConfigError` naming a variable the path needs and nothing sets."""
    try:
        return route(path, model, variables)
    except KeyError as error:
        raise missing_variable(provider, str(error.args[0])) from None


def missing_variable(provider: Provider, name: str) -> ConfigError:
    """The error for a variable that an address or a path needs: what sets it."""
    variable = next((known for known in provider.variables if known.name == name), None)
    setting = f"providers.{provider.name}.variables.{name}"
    if variable is None or not variable.env:
        return ConfigError(f"{provider.label} needs its {name}: set {setting}")
    first = variable.env[0]
    return ConfigError(f"{provider.label} needs its {name}: set {first}, or {setting}", hint=f"export {first}={variable.example or '…'}")


def make_origin(
    provider: Provider, root: str | None, proxy: str | None, ca_file: str | None, variables: Mapping[str, str] | None = None
) -> Origin:
    """The address of a provider, its variables filled in. `root` replaces scheme, host and port where it allows that (`base_url_env`)."""
    url = provider.base_url
    if root is not None and provider.base_url_env is not None:
        try:
            parts = urlsplit(root)
        except ValueError as error:
            raise ConfigError(f"not a URL: {error}", hint="example: http://127.0.0.1:8080") from error
        url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}{provider.base_path}"
    return parse_origin(filled(url, variables or {}), allow_private=provider.allow_private, proxy=proxy, ca_file=ca_file)


def filled(template: str, variables: Mapping[str, str]) -> str:
    """A URL with every ``{name}`` replaced by the variable of that name."""
    for name, value in variables.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def refusal(target: Target, status: int, headers: dict[str, str], body: bytes, now: float) -> ProviderError:
    """The error a non-2xx reply stands for, with the provider's name, its request id and every form of Retry-After filled in."""
    error = concealed(target, target.chat.parse_error(status, headers, body))
    error.provider = target.provider.name
    error.request_id = error.request_id or upstream_id(headers)
    if error.retry_after is None:
        error.retry_after = retry_after(headers, now)
    if status == 401 and error.kind in (ErrorKind.BAD_REQUEST, ErrorKind.UNKNOWN):
        error.kind, error.fault = ErrorKind.AUTH, "provider"
    if error.kind in (ErrorKind.AUTH, ErrorKind.PERMISSION) and target.credential.token is not None:
        target.credential.token.refused(target.credential.key)
    if error.kind is ErrorKind.AUTH:
        error.hint = error.hint or key_hint(target)
    return error


def key_hint(target: Target) -> str:
    """Where to look when a key is refused."""
    auth = target.provider.auth
    variables = " or ".join(auth.env or auth.parts) or "the provider's settings"
    return f"check the key in {variables} (account {target.credential.account!r})"


def concealed(target: Target, error: ProviderError) -> ProviderError:
    """`error` itself, with the key of the target masked in what the provider says (faults J2)."""
    error.message = redact(error.message, secrets_of(target))
    error.args = (error.message,)
    error.body = conceal_key(target, error.body)
    return error


def conceal_key(target: Target, body: bytes) -> bytes:
    """`body` with the key of the target masked where it is quoted; the same bytes where it is not.

    A key too short to be one ("test") is left, as in `redact`: masked wherever its letters stand, it would spoil the answer.
    """
    for key in secrets_of(target):
        if len(key.reveal()) >= SHORT:
            body = body.replace(key.reveal().encode(), str(key).encode())
    return body


def secrets_of(target: Target) -> tuple[Secret, ...]:
    """What may not be shown of a target: its key, and the parts of a key that consists of several."""
    key = target.credential.key.reveal()
    auth = target.provider.auth
    pieces = key.split(":")[1:] if (auth.parts or auth.sign is not None) and ":" in key else [key]
    return tuple(Secret(piece) for piece in pieces if piece)


_ID_HEADERS = ("x-request-id", "request-id", "x-goog-request-id", "x-amzn-requestid", "cf-ray")


def upstream_id(headers: dict[str, str]) -> str | None:
    """The provider's own id of a request."""
    for name in _ID_HEADERS:
        if name in headers:
            return headers[name]
    return None
