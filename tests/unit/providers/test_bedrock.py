"""How calls to Bedrock are authenticated."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from headgate.errors import ConfigError
from headgate.providers.base import Outgoing
from headgate.providers.bedrock import PROVIDER

CALL = Outgoing(
    method="GET",
    host="bedrock.us-east-1.amazonaws.com",
    path="/model-invocation-jobs",
    headers=(),
    body=b"",
    at=1_790_000_000.0,
    variables={"region": "us-east-1"},
    service="control",
)


def test_credentials_sign_the_call_for_the_service_it_goes_to() -> None:
    for service, scope in (("", "bedrock"), ("control", "bedrock"), ("s3", "s3")):
        headers = dict(PROVIDER.auth.headers("AKIDEXAMPLE:secret", replace(CALL, service=service)))
        assert f"/us-east-1/{scope}/aws4_request" in headers["authorization"]


def test_an_api_key_is_shown_to_bedrock_and_never_to_s3() -> None:
    assert PROVIDER.auth.headers("bedrock-api-key", CALL) == (("authorization", "Bearer bedrock-api-key"),)
    with pytest.raises(ConfigError, match="takes AWS credentials and no Bedrock API key") as caught:
        PROVIDER.auth.headers("bedrock-api-key", replace(CALL, service="s3"))
    assert "AWS_BEARER_TOKEN_BEDROCK" in str(caught.value.hint)
