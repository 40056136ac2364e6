"""Where a call goes: values only."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from headgate.catalog.cards import ModelCard
from headgate.config import Secret, redact
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.errors import ErrorKind, ProviderError
from headgate.providers import Provider
from headgate.transport.headers import retry_after
from headgate.transport.settings import Origin, parse_origin
from headgate.wire.http import Headers


class Credential(msgspec.Struct, frozen=True):
    """A key under the name of its account. The name is what submissions and receipts say; the key is never shown."""

    account: str
    key: Secret


class Target(msgspec.Struct, frozen=True):
    """One model of one provider, reached with one credential. `card` is None for a model the catalog does not know."""

    provider: Provider
    model: str
    credential: Credential
    origin: Origin
    card: ModelCard | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do; permissive when unknown."""
        return ANY_MODEL if self.card is None else self.card.capabilities

    @property
    def name(self) -> str:
        """``provider/model``."""
        return f"{self.provider.name}/{self.model}"

    def headers(self, request_id: str | None = None) -> Headers:
        """Headers every call to this target carries. `request_id` is ours, sent as ``x-client-request-id``."""
        own = (("x-client-request-id", request_id),) if request_id else ()
        return (*self.provider.headers, *self.provider.auth.headers(self.credential.key.reveal()), *own)


def make_origin(provider: Provider, root: str | None, proxy: str | None, ca_file: str | None) -> Origin:
    """The address of a provider. `root` replaces scheme, host and port where the provider allows that (`base_url_env`)."""
    url = provider.base_url
    if root is not None and provider.base_url_env is not None:
        parts = urlsplit(root)
        url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}{provider.base_path}"
    return parse_origin(url, allow_private=provider.allow_private, proxy=proxy, ca_file=ca_file)


def refusal(target: Target, status: int, headers: dict[str, str], body: bytes, now: float) -> ProviderError:
    """The error a non-2xx reply stands for, with the provider's name, its request id and every form of Retry-After filled in."""
    error = concealed(target, target.provider.chat.parse_error(status, headers, body))
    error.provider = target.provider.name
    error.request_id = error.request_id or upstream_id(headers)
    if error.retry_after is None:
        error.retry_after = retry_after(headers, now)
    if status == 401 and error.kind in (ErrorKind.BAD_REQUEST, ErrorKind.UNKNOWN):
        error.kind, error.fault = ErrorKind.AUTH, "provider"
    if error.kind is ErrorKind.AUTH:
        variables = " or ".join(target.provider.auth.env)
        error.hint = error.hint or f"check the key in {variables} (account {target.credential.account!r})"
    return error


def concealed(target: Target, error: ProviderError) -> ProviderError:
    """`error` itself, with the key of the target masked in what the provider says (faults J2)."""
    key = target.credential.key
    error.message = redact(error.message, (key,))
    error.args = (error.message,)
    error.body = conceal_key(target, error.body)
    return error


def conceal_key(target: Target, body: bytes) -> bytes:
    """`body` with the key of the target masked where it is quoted; the same bytes where it is not."""
    key = target.credential.key
    return body.replace(key.reveal().encode(), str(key).encode())


_ID_HEADERS = ("x-request-id", "request-id", "x-goog-request-id", "x-amzn-requestid", "cf-ray")


def upstream_id(headers: dict[str, str]) -> str | None:
    """The provider's own id of a request."""
    for name in _ID_HEADERS:
        if name in headers:
            return headers[name]
    return None
