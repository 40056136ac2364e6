"""AWS Signature Version 4, as the server checks it: what was signed is put together again from the request and compared.

Written from the specification ("Signature Version 4 signing process") for the simulator alone; it signs nothing.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote, unquote

import msgspec

from headgate.sim.exchange import Problem, Request

ACCESS_KEY = "AKIASIMHEADGATE0000"
KEYS: Mapping[str, str] = {ACCESS_KEY: "sim-secret-key"}
"""Access keys that exist, with their secrets. A session token may come with them; any is accepted, if it was signed."""
SECRET = KEYS[ACCESS_KEY]

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
_FIELD = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_SAFE = "-_.~"
_WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. "
    "Consult the service documentation for details."
)


class Claim(msgspec.Struct, frozen=True):
    """An Authorization header taken apart. `scope` is ``date/region/service/aws4_request``."""

    access_key: str
    scope: str
    signed: tuple[str, ...]
    signature: str


def is_signed(request: Request) -> bool:
    """Whether a request comes with a signature of this kind."""
    return request.headers.get("authorization", "").startswith(ALGORITHM)


def read_claim(header: str) -> Claim:
    """Take an Authorization header apart. Raises `Problem` (IncompleteSignatureException) when something is missing."""
    fields = dict(_FIELD.findall(header))
    access_key, _, scope = fields.get("Credential", "").partition("/")
    if len(fields) != 3 or scope.count("/") != 3:
        raise Problem("auth", f"Authorization header requires Credential, SignedHeaders and Signature. {header[:80]}", code=_INCOMPLETE)
    return Claim(access_key, scope, tuple(fields["SignedHeaders"].split(";")), fields["Signature"])


_INCOMPLETE = "IncompleteSignatureException"


def check(request: Request, service: str, keys: Mapping[str, str] = KEYS) -> str:
    """The access key that signed a request for `service`. Raises `Problem` "auth" whose code is AWS's name of what is wrong."""
    claim = read_claim(request.headers.get("authorization", ""))
    secret = keys.get(claim.access_key)
    if secret is None:
        raise Problem("auth", "The security token included in the request is invalid.", code="UnrecognizedClientException")
    stamp = request.headers.get("x-amz-date", "")
    day, _, rest = claim.scope.partition("/")
    named = rest.split("/")[1]
    if not stamp.startswith(day) or named != service or not {"host", "x-amz-date"} <= set(claim.signed):
        raise Problem("auth", f"Credential should be scoped to correct service: '{service}'.", code=_MISMATCH)
    if "x-amz-security-token" in request.headers and "x-amz-security-token" not in claim.signed:
        raise Problem("auth", _WRONG, code=_MISMATCH)
    if not hmac.compare_digest(expected(request, claim, secret, double=service != "s3"), claim.signature):
        raise Problem("auth", _WRONG, code=_MISMATCH)
    return claim.access_key


_MISMATCH = "InvalidSignatureException"


def expected(request: Request, claim: Claim, secret: str, *, double: bool) -> str:
    """The signature a request should carry, in hexadecimal digits; `double` encodes the path once more, as all services but S3 do."""
    stamp = request.headers.get("x-amz-date", "")
    text = "\n".join((ALGORITHM, stamp, claim.scope, sha256(_canonical(request, claim, double).encode()).hexdigest()))
    key = b"AWS4" + secret.encode()
    for part in claim.scope.split("/"):
        key = _mac(key, part)
    return _mac(key, text).hex()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), sha256).digest()


def _canonical(request: Request, claim: Claim, double: bool) -> str:
    path, _, query = request.target.partition("?")
    headers = [f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in claim.signed]
    return "\n".join(
        (
            request.method,
            quote(path, safe="/" + _SAFE) if double else path,
            _query(query),
            "".join(headers),
            ";".join(claim.signed),
            _payload(request),
        )
    )


def _query(query: str) -> str:
    """The query with its parts encoded alike and sorted."""
    pairs = [part.partition("=") for part in query.split("&") if part]
    encoded = sorted((quote(unquote(name), safe=_SAFE), quote(unquote(value), safe=_SAFE)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _payload(request: Request) -> str:
    """The body's hash. A header that tells another one does not change it."""
    claimed = request.headers.get("x-amz-content-sha256")
    return UNSIGNED if claimed == UNSIGNED else sha256(request.body).hexdigest()
