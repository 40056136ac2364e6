"""OpenAI's routes below ``/openai``."""

from __future__ import annotations

from functools import partial

from headgate.sim import openai_batches, openai_completions, openai_embeddings, openai_files, openai_wire, responses_routes
from headgate.sim.world import Route, Wire

WIRE = Wire(
    name="openai",
    routes=(
        Route("POST", "/v1/chat/completions", "chat", openai_wire.chat, chat=True),
        Route("POST", "/v1/completions", "chat", openai_completions.completions, chat=True),
        Route("POST", "/v1/embeddings", "embed", openai_embeddings.embeddings),
        Route("POST", "/v1/responses", "chat", responses_routes.create, chat=True),
        Route("POST", "/v1/responses/input_tokens", "count_tokens", responses_routes.input_tokens),
        Route("GET", "/v1/responses/{response}", "response_get", responses_routes.get),
        Route("DELETE", "/v1/responses/{response}", "response_delete", responses_routes.delete),
        Route("GET", "/v1/responses/{response}/input_items", "response_get", responses_routes.input_items),
        Route("GET", "/v1/models", "models", openai_wire.models),
        Route("GET", "/v1/models/{model}", "models", openai_wire.model),
        Route("POST", "/v1/files", "file_upload", partial(openai_files.upload, openai_batches.OPENAI)),
        Route("GET", "/v1/files", "file_list", openai_files.listing),
        Route("GET", "/v1/files/{file}", "file_get", openai_files.get),
        Route("DELETE", "/v1/files/{file}", "file_delete", openai_files.delete),
        Route("GET", "/v1/files/{file}/content", "results", openai_files.content),
        Route("POST", "/v1/batches", "batch_create", partial(openai_batches.create, openai_batches.OPENAI)),
        Route("GET", "/v1/batches", "batch_list", openai_batches.listing),
        Route("GET", "/v1/batches/{batch}", "batch_get", openai_batches.get),
        Route("POST", "/v1/batches/{batch}/cancel", "batch_cancel", openai_batches.cancel),
    ),
    authenticate=openai_wire.authenticate,
    refuse=openai_wire.refuse,
    stream_error=openai_wire.stream_error,
    request_id_header="x-request-id",
    request_id_prefix="req_",
    base="/v1",
)
