#!/usr/bin/env python3
"""Write docs/reference/openapi.json: every route of the gateway, who may use it, what it takes and what it can answer.

    tools/openapi.py            # write
    tools/openapi.py --check    # exit 1 when something would change

Paths, methods, scopes and limits are those of the route table; a statement about a path stands in `ABOUT`. Bodies of the surfaces are
described as far as the gateway itself reads them: the rest belongs to the providers' own descriptions.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

import headgate
from headgate.gateway.app import build_routes
from headgate.gateway.endpoints.key_bodies import KeyBody, RotateBody
from headgate.gateway.endpoints.keys import Keys
from headgate.gateway.endpoints.unserved import Unserved
from headgate.gateway.money_parts import MoneyParts
from headgate.gateway.money_routes import money_routes
from headgate.gateway.surfaces import GEMINI
from headgate.ledger.report import RECEIPT_FILTERS
from headgate.serving.auth import KEY_HEADERS
from headgate.serving.envelopes import Fault
from headgate.serving.limits import BODY_LIMIT
from headgate.serving.routes import Route

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference" / "openapi.json"
Json = dict[str, Any]
TEXT, WHOLE, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
OBJECT: Json = {"type": "object"}


def fields(required: Sequence[str] = (), **properties: Json) -> Json:
    """An object; what is not named is passed on or refused by whoever it is for."""
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def listed(of: Json) -> Json:
    """A list."""
    return {"type": "array", "items": of}


TURNS = listed(fields(("role",), role=TEXT, content={"anyOf": [TEXT, listed(OBJECT), {"type": "null"}]}))
COMMON = {"model": TEXT, "stream": FLAG}
CONTENTS = listed(fields(("parts",), role=TEXT, parts=listed(OBJECT)))
INPUT = {"anyOf": [TEXT, listed({"anyOf": [TEXT, OBJECT]})]}
ESTIMATE = fields(("model",), model=TEXT, messages=TURNS, max_tokens=WHOLE)
BODIES: dict[str, Json] = {
    "POST /v1/chat/completions": fields(("messages",), **COMMON, messages=TURNS, max_tokens=WHOLE, n=WHOLE, tools=listed(OBJECT)),
    "POST /v1/completions": fields(("model", "prompt"), **COMMON, prompt={"anyOf": [TEXT, listed(TEXT)]}, max_tokens=WHOLE),
    "POST /v1/responses": fields(("input",), **COMMON, input=INPUT, max_output_tokens=WHOLE),
    "POST /v1/responses/input_tokens": fields(("input",), model=TEXT, input=INPUT),
    "POST /v1/embeddings": fields(("model", "input"), model=TEXT, input=INPUT, dimensions=WHOLE, encoding_format=TEXT),
    "POST /v1/messages": fields(("messages", "max_tokens"), **COMMON, messages=TURNS, max_tokens=WHOLE, system=INPUT, tools=listed(OBJECT)),
    "POST /v1/messages/count_tokens": fields(("messages",), model=TEXT, messages=TURNS),
    "POST /v1beta/models/*": fields((), contents=CONTENTS, generationConfig=OBJECT, systemInstruction=OBJECT),
    "POST /v1beta/*": fields((), contents=CONTENTS, generationConfig=OBJECT, systemInstruction=OBJECT),
    "POST /v1/models/*": fields((), contents=CONTENTS, generationConfig=OBJECT, systemInstruction=OBJECT),
    "POST /v1/route/explain": fields((), **COMMON, messages=TURNS, routing=OBJECT),
    "POST /v1/estimate-cost": ESTIMATE,
    "PUT /v1/budgets/*": fields(("limit", "scope", "window"), limit=TEXT, scope=TEXT, window=TEXT, action=TEXT, thresholds=listed(WHOLE)),
}
QUERIES: dict[str, Iterable[str]] = {
    "GET /v1/receipts": (*RECEIPT_FILTERS, "start_date", "end_date", "status", "lane", "limit", "after"),
    "GET /v1/usage": ("start_date", "end_date", "group_by"),
    "GET /v1/metrics": ("window",),
    "GET /v1/pricing": ("model",),
    "POST /v1/budget": ("run_id", "budget_usd"),
    "GET /v1/keys": ("after", "limit"),
    "GET /v1/budgets/*": ("limit",),
    "DELETE /v1/keys/*": ("made",),
    "POST /v1beta/models/*": ("alt",),
    "POST /v1beta/*": ("alt",),
}
PARAMETERS = {
    "/v1beta/models/*": "model_and_verb",
    "/v1beta/*": "model",
    "/v1/models/*": "model",
    "/v1/budget/*": "run",
    "/v1/budgets/*": "id",
}
STREAMED = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1beta/models/*", "/v1beta/*", "/v1/models/*"}
)
PLAIN_TEXT = frozenset({"/metrics"})
ASKING = frozenset({400, 402, 404, 413, 415, 429, 502, 503, 504})
"""What a route that calls a provider can answer besides: the provider's own statuses come through too (`default`)."""
OWN: dict[str, frozenset[int]] = {
    "POST": frozenset({400, 404, 413, 415, 422}),
    "PATCH": frozenset({400, 404, 413, 415}),
    "PUT": frozenset({400, 404, 409, 413, 415}),
    "GET": frozenset({400, 404}),
}
WORDS = {
    200: "the answer",
    201: "made",
    400: "the request is not as it must be",
    401: "no key, or none that is known",
    402: "a budget does not allow it, or its cost cannot be bounded",
    403: "the key has not the scope",
    404: "there is nothing there, for this key",
    405: "not a method of this path",
    408: "the body came too slowly",
    409: "the same Idempotency-Key is under way",
    413: "the body is too long",
    415: "the body is compressed",
    422: "the Idempotency-Key stands for another request",
    429: "a limit is reached; Retry-After says for how long",
    431: "the headers are too long",
    501: "the gateway does not serve this; the hint says what to do instead",
    502: "the provider did not answer as it must",
    503: "not now: the ledger, every deployment, or the process itself cannot; Retry-After says when",
    504: "the provider did not answer in time",
}


def routes() -> tuple[Route, ...]:
    """Every route of a gateway."""
    parts: Any = SimpleNamespace(spending=SimpleNamespace(drain=None), router=None, models=(), resolve=None)
    nothing: Any = None
    money = money_routes(MoneyParts(store=nothing, models=(), resolve=nothing, clock=time.time, budgets=nothing))
    return build_routes(parts, keys=Keys(nothing, nothing, time.time), body_limit=BODY_LIMIT, further=money).all


def schema_of(route: Route) -> Json:
    """What the body of a route must be."""
    name = f"{route.method} {route.path}"
    if route.path.startswith("/v1/keys"):
        of = RotateBody if name == "POST /v1/keys/*" else KeyBody
        (found,), _ = msgspec.json.schema_components([of], ref_template="#/components/schemas/{name}")
        return found
    return BODIES.get(name, OBJECT)


def statuses(route: Route) -> list[int]:
    """What a route can answer, errors included."""
    found = {200, 405, 431}
    if isinstance(route.endpoint, Unserved):
        found = {405, 415, 431, 501}
    elif route.scope == "completions:read" and route.body_limit:
        found |= ASKING | {408, 409, 422}
    else:
        found |= OWN.get(route.method, frozenset({400, 404}))
    if route.scope is not None:
        found |= {400, 401, 403, 429, 503}
    if route.path in ("/readyz", "/ready"):
        found |= {503}
    if (route.method, route.path) == ("POST", "/v1/keys"):
        found = (found - {200}) | {201}
    return sorted(found)


def operation(route: Route, path: str) -> Json:
    """One method of one path."""
    words = (route.endpoint.__doc__ or type(route.endpoint).__doc__ or "").strip().splitlines()
    names = re.findall(r"\{(\w+)\}", path)
    found: Json = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{path}").strip("_"),
        "summary": words[0] if words and not isinstance(route.endpoint, Unserved) else "Not served.",
        "x-headgate-scope": route.scope or "open",
        "responses": {str(status): told(route, status) for status in statuses(route)},
    }
    if route.scope is not None:
        further = ("query",) if route.surface.key_in_query else ()
        found["security"] = [{name: []} for name in ("bearer", *KEY_HEADERS[1:], *further)]
    wanted = QUERIES.get(f"{route.method} {route.path}", ())
    if names or wanted:
        inside = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names]
        found["parameters"] = [*inside, *({"name": name, "in": "query", "schema": TEXT} for name in sorted(wanted))]
    if route.body_limit and not isinstance(route.endpoint, Unserved):
        found["x-headgate-body-limit"] = route.body_limit
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema_of(route)}}}
    if route.scope == "completions:read" and route.path in BODIES_OF_PROVIDERS:
        found["responses"]["default"] = {"description": "a refusal of the provider, in its own status and words"}
    return found


BODIES_OF_PROVIDERS = frozenset(name.partition(" ")[2] for name in BODIES) - {"/v1/route/explain", "/v1/estimate-cost"}


def told(route: Route, status: int) -> Json:
    """One answer of a route: a success has kinds of its own, an error the envelope of the surface."""
    if status >= 400 and not (status == 503 and route.scope is None):
        return {"$ref": f"#/components/responses/{envelope_of(route)}_{status}"}
    if status != 200:
        return {"description": WORDS[status]}
    kinds = ["text/plain"] if route.path in PLAIN_TEXT else ["application/json"]
    kinds += ["text/event-stream"] if route.path in STREAMED else []
    return {"description": WORDS[status], "content": {kind: {} for kind in kinds}}


def errors() -> Json:
    """Every error in every envelope."""
    return {
        f"{name}_{status}": {
            "description": words,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/error_{name}"}}},
        }
        for name in ("openai", "anthropic", "google")
        for status, words in WORDS.items()
        if status >= 400
    }


def envelope_of(route: Route) -> str:
    """The name of the envelope that errors of a route leave in: an example of it says which."""
    shape = route.surface.envelope(Fault(400, ""), "")
    if "type" in shape:
        return "anthropic"
    error = shape["error"]
    return "google" if isinstance(error, dict) and "details" in error else "openai"


def envelopes() -> Json:
    """The three shapes of errors."""
    null = {"anyOf": [TEXT, {"type": "null"}]}
    return {
        "error_openai": fields(
            ("error",), error=fields(("message", "type", "param", "code"), message=TEXT, type=TEXT, param=null, code=null)
        ),
        "error_anthropic": fields(("type", "error"), type=TEXT, error=fields(("type", "message"), type=TEXT, message=TEXT)),
        "error_google": fields(("error",), error=fields(("code", "message", "status"), code=WHOLE, message=TEXT, status=TEXT)),
    }


def document() -> Json:
    """The whole description."""
    paths: dict[str, Json] = {}
    for route in sorted(routes(), key=lambda route: (route.path, route.method)):
        named = PARAMETERS.get(route.path, "id")
        path = route.path.replace("*", f"{{{named}}}")
        if route.path == "/v1/keys/*" and route.method == "POST":
            path = "/v1/keys/{id}/rotate"
        paths.setdefault(path, {})[route.method.lower()] = operation(route, path)
    _, components = msgspec.json.schema_components([KeyBody, RotateBody], ref_template="#/components/schemas/{name}")
    schemes: Json = {"bearer": {"type": "http", "scheme": "bearer"}}
    schemes |= {name: {"type": "apiKey", "in": "header", "name": name} for name in KEY_HEADERS[1:]}
    schemes["query"] = {"type": "apiKey", "in": "query", "name": GEMINI.key_in_query}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headgate",
            "version": headgate.__version__,
            "description": "The gateway's HTTP interface. Made by tools/openapi.py.",
        },
        "servers": [{"url": "http://127.0.0.1:6120"}],
        "paths": paths,
        "components": {"securitySchemes": schemes, "responses": errors(), "schemas": {**components, **envelopes()}},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something would change")
    options = parser.parse_args(argv)
    text = json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    if options.check:
        print(f"{TARGET.name} is not up to date; run: tools/openapi.py")
        return 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
