"""The batch APIs of the providers beyond the first three: which routes their wires gain, and who writes their results."""

from __future__ import annotations

from functools import partial

import msgspec

from headgate.sim import (
    azure,
    bedrock_batches,
    groq,
    openai_batches,
    openai_files,
    openai_wire,
    s3,
    together,
    together_batches,
    xai,
    xai_batches,
)
from headgate.sim.batch_rules import Rules
from headgate.sim.openai_flavours import Flavour, row_of
from headgate.sim.world import Route, Settler, Wire

CHAT = "/v1/chat/completions"
MB = 1_000_000


def _run(flavour: Flavour) -> partial[openai_batches.Answered]:
    return partial(row_of, flavour)


GROQ = Rules(
    provider="groq",
    run=_run(groq.FLAVOUR),
    error_body=groq.error_body,
    statuses={name: row[0] for name, row in groq.GROQ_ERRORS.items()},
    endpoints=(CHAT,),
    windows=(24, 168),
    size=100 * MB,
)
AZURE = Rules(
    provider="azure",
    run=_run(azure.FLAVOUR),
    error_body=azure.error_body,
    statuses={name: row[0] for name, row in openai_wire.ERRORS.items()},
    endpoints=("/chat/completions", CHAT),
    deadline=False,
)
TOGETHER = Rules(
    provider="together",
    run=_run(together.FLAVOUR),
    error_body=together.error_body,
    statuses={name: row[0] for name, row in together.TOGETHER_ERRORS.items()},
    endpoints=(CHAT, "/v1/completions"),
    size=100 * MB,
    bare=True,
    purpose="batch-api",
    purposes=("fine-tune", "eval", "batch-api"),
)
XAI = Rules(
    provider="xai",
    run=_run(xai.FLAVOUR),
    error_body=xai.error_body,
    statuses={name: row[0] for name, row in xai.XAI_ERRORS.items()},
    endpoints=(CHAT,),
    default_purpose="batch",
)


def _files(rules: Rules, base: str) -> tuple[Route, ...]:
    """Files as OpenAI has them."""
    return (
        Route("POST", f"{base}/files", "file_upload", partial(openai_files.upload, rules)),
        Route("GET", f"{base}/files", "file_list", openai_files.listing),
        Route("GET", f"{base}/files/{{file}}", "file_get", openai_files.get),
        Route("DELETE", f"{base}/files/{{file}}", "file_delete", openai_files.delete),
        Route("GET", f"{base}/files/{{file}}/content", "results", openai_files.content),
    )


def _jobs(rules: Rules, base: str) -> tuple[Route, ...]:
    """Batches as OpenAI has them."""
    return (
        Route("POST", f"{base}/batches", "batch_create", partial(openai_batches.create, rules)),
        Route("GET", f"{base}/batches", "batch_list", openai_batches.listing),
        Route("GET", f"{base}/batches/{{batch}}", "batch_get", openai_batches.get),
        Route("POST", f"{base}/batches/{{batch}}/cancel", "batch_cancel", openai_batches.cancel),
    )


_TOGETHER = (
    Route("POST", "/v1/files/upload", "file_upload", partial(together_batches.upload, TOGETHER)),
    Route("GET", "/v1/files", "file_list", together_batches.files),
    Route("GET", "/v1/files/{file}", "file_get", together_batches.file),
    Route("DELETE", "/v1/files/{file}", "file_delete", openai_files.delete),
    Route("GET", "/v1/files/{file}/content", "results", openai_files.content),
    Route("POST", "/v1/batches", "batch_create", partial(together_batches.create, TOGETHER)),
    Route("GET", "/v1/batches", "batch_list", together_batches.listing),
    Route("GET", "/v1/batches/{batch}", "batch_get", together_batches.get),
    Route("POST", "/v1/batches/{batch}/cancel", "batch_cancel", together_batches.cancel),
)
_XAI = (
    *_files(XAI, "/v1"),
    Route("POST", "/v1/batches", "batch_create", partial(xai_batches.create, XAI)),
    Route("GET", "/v1/batches", "batch_list", xai_batches.listing),
    Route("GET", "/v1/batches/{batch}", "batch_get", xai_batches.get),
    Route("POST", "/v1/batches/{batch}:cancel", "batch_cancel", xai_batches.cancel),
    Route("POST", "/v1/batches/{batch}/requests", "batch_add", partial(xai_batches.add, XAI)),
    Route("GET", "/v1/batches/{batch}/results", "results", xai_batches.results),
)
ROUTES: dict[str, tuple[Route, ...]] = {
    "groq": (*_files(GROQ, "/openai/v1"), *_jobs(GROQ, "/openai/v1")),
    "azure": tuple(route for base in ("/openai", "/openai/v1") for route in (*_files(AZURE, base), *_jobs(AZURE, base))),
    "together": _TOGETHER,
    "xai": _XAI,
    "bedrock": bedrock_batches.ROUTES,
}
"""Wire -> the routes of its files and batches."""

SETTLERS: dict[str, Settler] = {
    "openai": partial(openai_batches.settle, openai_batches.OPENAI),
    "groq": partial(openai_batches.settle, GROQ),
    "azure": partial(openai_batches.settle, AZURE),
    "together": partial(openai_batches.settle, TOGETHER),
    "xai": partial(xai_batches.settle, XAI),
    "bedrock": bedrock_batches.settle,
}
"""Provider -> who writes the results of its batches."""

FURTHER_WIRES = (s3.WIRE,)
"""Wires that only batches need."""


def with_batches(wire: Wire) -> Wire:
    """A wire together with its batch API, where it has one."""
    return msgspec.structs.replace(wire, routes=(*wire.routes, *ROUTES.get(wire.name, ())))
