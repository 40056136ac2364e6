"""Amazon Bedrock (API references: bedrock-runtime, bedrock, Amazon S3), with AWS credentials or a Bedrock API key."""

from hashlib import sha256

from headgate.dialects import batch_bedrock, bedrock_anthropic, bedrock_converse, embed_bedrock
from headgate.errors import ConfigError
from headgate.providers.base import Auth, Outgoing, Provider, Variable
from headgate.wire.http import Headers
from headgate.wire.sigv4 import UNSIGNED_PAYLOAD, sign

_SERVICES = {"": "bedrock", "control": "bedrock", "s3": "s3"}


def signed(key: str, call: Outgoing) -> Headers:
    """A key with colons is ``access key:secret[:session token]`` and signs the call; any other is a Bedrock API key and is shown.

    Raises `ConfigError` for a Bedrock API key where S3 is called, through which batches go.
    """
    access, colon, rest = key.partition(":")
    if not colon and call.service == "s3":
        raise ConfigError(
            "batches of Amazon Bedrock pass through S3, which takes AWS credentials and no Bedrock API key",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and unset AWS_BEARER_TOKEN_BEDROCK",
        )
    if not colon:
        return (("authorization", f"Bearer {key}"),)
    secret, _, session = rest.partition(":")
    path, _, query = call.path.partition("?")
    return sign(
        call.method,
        call.host,
        path,
        query,
        call.headers,
        UNSIGNED_PAYLOAD if call.body is None else sha256(call.body).hexdigest(),
        access_key=access,
        secret_key=secret,
        session_token=session or None,
        region=call.variables["region"],
        service=_SERVICES[call.service],
        at=call.at,
    )


def serves(wire: str, model: str) -> bool:
    """Claude alone is behind InvokeModel in the Messages wire."""
    return wire != bedrock_anthropic.DIALECT.name or "anthropic." in model


PROVIDER = Provider(
    name="bedrock",
    label="Amazon Bedrock",
    base_url="https://bedrock-runtime.{region}.amazonaws.com",
    hosts=(("control", "https://bedrock.{region}.amazonaws.com"), ("s3", "https://s3.{region}.amazonaws.com")),
    variables=(
        Variable(name="region", env=("BEDROCK_REGION", "GENAI_BEDROCK_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"), default="us-east-1"),
        Variable(name="batch_bucket", env=("BEDROCK_BATCH_BUCKET",), example="s3://my-bucket/headgate"),
        Variable(name="batch_role", env=("BEDROCK_BATCH_ROLE",), example="arn:aws:iam::123456789012:role/batch"),
    ),
    chat=bedrock_converse.DIALECT,
    surfaces=(bedrock_anthropic.DIALECT,),
    serves=serves,
    embed=embed_bedrock.DIALECT,
    batch=batch_bedrock.DIALECT,
    batch_endpoint="/model/{model}/converse",
    batch_variables=("batch_bucket", "batch_role"),
    max_age=170 * 3600.0,
    auth=Auth(
        header="authorization",
        env=("AWS_BEARER_TOKEN_BEDROCK",),
        parts=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN?"),
        sign=signed,
    ),
    default_model="amazon.nova-lite-v1:0",
)
