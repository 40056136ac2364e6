"""Amazon Bedrock's routes below ``/bedrock``; a model's id may hold colons and slashes."""

from __future__ import annotations

from headgate.sim import bedrock_invoke, bedrock_wire
from headgate.sim.world import Route, Wire

_MODEL = "/model/{model...}"

WIRE = Wire(
    name="bedrock",
    routes=(
        Route("POST", _MODEL + "/converse", "chat", bedrock_wire.converse),
        Route("POST", _MODEL + "/converse-stream", "stream", bedrock_wire.converse_stream),
        Route("POST", _MODEL + "/invoke", "chat", bedrock_invoke.invoke, sort=bedrock_invoke.operation),
        Route("POST", _MODEL + "/invoke-with-response-stream", "stream", bedrock_invoke.invoke_stream),
        Route("POST", _MODEL + "/count-tokens", "count_tokens", bedrock_invoke.count_tokens),
    ),
    authenticate=bedrock_wire.authenticate,
    refuse=bedrock_wire.refuse,
    stream_error=bedrock_wire.stream_error,
    request_id_header="x-amzn-requestid",
    request_id_prefix="",
    uuids=True,
)
