"""Anthropic's routes below ``/anthropic``."""

from __future__ import annotations

from headgate.sim import anthropic_batches, anthropic_wire
from headgate.sim.world import Route, Wire

WIRE = Wire(
    name="anthropic",
    routes=(
        Route("POST", "/v1/messages", "chat", anthropic_wire.messages, chat=True),
        Route("POST", "/v1/messages/count_tokens", "count_tokens", anthropic_wire.count_tokens),
        Route("GET", "/v1/models", "models", anthropic_wire.models),
        Route("GET", "/v1/models/{model}", "models", anthropic_wire.model),
        Route("POST", "/v1/messages/batches", "batch_create", anthropic_batches.create),
        Route("GET", "/v1/messages/batches", "batch_list", anthropic_batches.listing),
        Route("GET", "/v1/messages/batches/{batch}", "batch_get", anthropic_batches.get),
        Route("DELETE", "/v1/messages/batches/{batch}", "batch_delete", anthropic_batches.delete),
        Route("POST", "/v1/messages/batches/{batch}/cancel", "batch_cancel", anthropic_batches.cancel),
        Route("GET", "/v1/messages/batches/{batch}/results", "results", anthropic_batches.results),
    ),
    authenticate=anthropic_wire.authenticate,
    refuse=anthropic_wire.refuse,
    stream_error=anthropic_wire.stream_error,
    request_id_header="request-id",
    request_id_prefix="req_01",
)
