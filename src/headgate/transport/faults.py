"""Failures of the way to a provider, mapped by one table to `ProviderError`; the most specific class wins."""

from __future__ import annotations

import socket
import ssl

import msgspec

from headgate.errors import ErrorKind, ProviderError


class Fault(msgspec.Struct, frozen=True):
    """What one class of exception means to a user. `code` becomes `ProviderError.code`."""

    kind: ErrorKind
    code: str
    what: str
    hint: str | None = None


_TLS_HINT = (
    "if a proxy or an internal authority signs here: export SSL_CERT_FILE=/path/to/ca.pem, or set ca_file: for this provider; "
    "on a slim image: apt-get install ca-certificates"
)
_DNS_HINT = "check the host name and the network: getent hosts {host}"

FAULTS: tuple[tuple[type[BaseException], Fault], ...] = (
    (ssl.SSLCertVerificationError, Fault(ErrorKind.CONNECTION, "tls_certificate", "the certificate could not be verified", _TLS_HINT)),
    (ssl.SSLError, Fault(ErrorKind.CONNECTION, "tls", "TLS failed", "is this port TLS? openssl s_client -connect {address}")),
    (socket.gaierror, Fault(ErrorKind.CONNECTION, "dns", "the host name could not be resolved", _DNS_HINT)),
    (TimeoutError, Fault(ErrorKind.TIMEOUT, "timeout", "the network timed out")),
    (ConnectionRefusedError, Fault(ErrorKind.CONNECTION, "refused", "the connection was refused", "is it running? curl -v {url}")),
    (ConnectionResetError, Fault(ErrorKind.CONNECTION, "reset", "the connection was reset")),
    (BrokenPipeError, Fault(ErrorKind.CONNECTION, "reset", "the connection was closed while sending")),
    (ConnectionAbortedError, Fault(ErrorKind.CONNECTION, "reset", "the connection was aborted")),
    (OSError, Fault(ErrorKind.CONNECTION, "network", "the network failed")),
)
"""(exception class, meaning), subclasses before their bases."""

PERMANENT_CODES = frozenset({"tls_certificate"})
"""Codes of network failures that no further try will mend."""


class Place(msgspec.Struct, frozen=True):
    """Where a failure happened, for messages and hints."""

    url: str
    host: str
    port: int


def network_error(error: BaseException, place: Place, *, sent: bool) -> ProviderError:
    """The `ProviderError` for an exception of a socket, of TLS or of name lookup. `sent`: request bytes may have left."""
    fault = next(fault for kind, fault in FAULTS if isinstance(error, kind))
    hint = fault.hint and fault.hint.format(host=place.host, address=f"{place.host}:{place.port}", url=place.url)
    detail = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    message = f"{place.url}: {fault.what}" + (f" ({detail})" if detail else "")
    mapped = ProviderError(fault.kind, message, code=fault.code, fault="network", hint=hint, sent=sent)
    mapped.__cause__ = error
    return mapped


def timed_out(place: Place, what: str, seconds: float, *, code: str, sent: bool) -> ProviderError:
    """A deadline of ours has passed. `what` completes "no … within 5 s"."""
    return ProviderError(ErrorKind.TIMEOUT, f"{place.url}: no {what} within {seconds:g} s", code=code, fault="network", sent=sent)


def closed_early(place: Place, *, sent: bool = True) -> ProviderError:
    """The server closed the connection without a byte of response: when `sent`, it may or may not have acted on the request."""
    message = f"{place.url}: the connection was closed before any response"
    return ProviderError(ErrorKind.CONNECTION, message, code="closed", fault="network", sent=sent)


def shut_down(place: Place, *, sent: bool) -> ProviderError:
    """Our own client was closed while the request was under way."""
    return ProviderError(ErrorKind.CANCELLED, f"{place.url}: the HTTP client was closed", code="client_closed", fault="client", sent=sent)
