"""Gemini's routes below ``/gemini``."""

from __future__ import annotations

from headgate.sim import gemini_batches, gemini_files, gemini_wire
from headgate.sim.world import Route, Wire

WIRE = Wire(
    name="gemini",
    routes=(
        Route("POST", "/v1beta/models/{model}:generateContent", "chat", gemini_wire.generate),
        Route("POST", "/v1beta/models/{model}:streamGenerateContent", "stream", gemini_wire.stream_generate),
        Route("POST", "/v1beta/models/{model}:countTokens", "count_tokens", gemini_wire.count_tokens),
        Route("POST", "/v1beta/models/{model}:batchGenerateContent", "batch_create", gemini_batches.create),
        Route("GET", "/v1beta/models", "models", gemini_wire.models),
        Route("GET", "/v1beta/models/{model}", "models", gemini_wire.model),
        Route("POST", "/upload/v1beta/files", "file_upload", gemini_files.upload),
        Route("PUT", "/upload/v1beta/files", "file_upload", gemini_files.upload),
        Route("GET", "/v1beta/files", "file_list", gemini_files.listing),
        Route("GET", "/v1beta/files/{file}", "file_get", gemini_files.get),
        Route("GET", "/v1beta/files/{file}:download", "results", gemini_files.download),
        Route("GET", "/download/v1beta/files/{file}:download", "results", gemini_files.download),
        Route("DELETE", "/v1beta/files/{file}", "file_delete", gemini_files.delete),
        Route("GET", "/v1beta/batches", "batch_list", gemini_batches.listing),
        Route("GET", "/v1beta/batches/{batch}", "batch_get", gemini_batches.get),
        Route("POST", "/v1beta/batches/{batch}:cancel", "batch_cancel", gemini_batches.cancel),
        Route("DELETE", "/v1beta/batches/{batch}", "batch_delete", gemini_batches.delete),
    ),
    authenticate=gemini_wire.authenticate,
    refuse=gemini_wire.refuse,
    stream_error=gemini_wire.stream_error,
    request_id_header="",
    request_id_prefix="",
)
