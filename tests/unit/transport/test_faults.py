from __future__ import annotations

import socket
import ssl

import pytest

from headgate.errors import ErrorKind
from headgate.transport.faults import FAULTS, Place, network_error

PLACE = Place("https://api.example", "api.example", 443)


def test_no_row_is_hidden_by_an_earlier_one() -> None:
    kinds = [kind for kind, _ in FAULTS]
    for place, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:place])
    assert kinds[-1] is OSError


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ssl.SSLCertVerificationError("x"), ErrorKind.CONNECTION, "tls_certificate"),
        (ssl.SSLEOFError("x"), ErrorKind.CONNECTION, "tls"),
        (socket.gaierror(-2, "Name or service not known"), ErrorKind.CONNECTION, "dns"),
        (TimeoutError(), ErrorKind.TIMEOUT, "timeout"),
        (ConnectionRefusedError(111, "Connection refused"), ErrorKind.CONNECTION, "refused"),
        (ConnectionResetError(104, "reset"), ErrorKind.CONNECTION, "reset"),
        (BrokenPipeError(), ErrorKind.CONNECTION, "reset"),
        (OSError(113, "No route to host"), ErrorKind.CONNECTION, "network"),
    ],
)
def test_the_table(error: OSError, kind: ErrorKind, code: str) -> None:
    mapped = network_error(error, PLACE, sent=False)
    assert (mapped.kind, mapped.code, mapped.fault, mapped.sent, mapped.transient) == (kind, code, "network", False, True)
    assert mapped.message.startswith("https://api.example: ")
    assert mapped.__cause__ is error
    assert "{" not in (mapped.hint or "")
