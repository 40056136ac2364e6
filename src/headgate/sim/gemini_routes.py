"""Gemini's routes below ``/gemini``."""

from __future__ import annotations

from headgate.sim import gemini_batches, gemini_embeddings, gemini_files, gemini_wire
from headgate.sim.world import Handler, Route, Wire

_METHODS: tuple[tuple[str, str, Handler], ...] = (
    ("generateContent", "chat", gemini_wire.generate),
    ("streamGenerateContent", "stream", gemini_wire.stream_generate),
    ("countTokens", "count_tokens", gemini_wire.count_tokens),
    ("embedContent", "embed", gemini_embeddings.embed),
    ("batchEmbedContents", "embed", gemini_embeddings.batch_embed),
)
_VERSIONS = ("/v1beta", "/v1")
_REALTIME = (
    *(Route("POST", f"{base}/models/{{model}}:{method}", name, handler) for base in _VERSIONS for method, name, handler in _METHODS),
    *(Route("GET", f"{base}/models", "models", gemini_wire.models) for base in _VERSIONS),
    *(Route("GET", f"{base}/models/{{model}}", "models", gemini_wire.model) for base in _VERSIONS),
)

WIRE = Wire(
    name="gemini",
    routes=(
        *_REALTIME,
        Route("POST", "/v1beta/models/{model}:batchGenerateContent", "batch_create", gemini_batches.create),
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
