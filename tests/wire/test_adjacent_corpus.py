"""Recorded traffic of Azure OpenAI and Vertex AI: other addresses of wires that are known, read and written back like these.

Requests go back equal, paths included, through the provider's route; answers and streams say what an independent reader finds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headgate.dialects import gemini_generate, openai_chat
from headgate.dialects.base import ChatDialect
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.events import StreamEvent
from headgate.domain.fold import fold
from headgate.domain.response import Response
from headgate.providers import azure_openai, vertex
from headgate.wire.json import decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[2].parent / "shared" / "corpus"))
ORACLE = CORPUS.parent / "tools" / "neutral.py"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}"),
    pytest.mark.skipif(not ORACLE.is_file(), reason=f"no independent reader at {ORACLE}"),
]

INTEGERS = "its query asks for enumerations as integers (enum-encoding=int), which Headgate never does"
NOT_THIS_SURFACE = "a Responses API answer that was recorded under the name of this surface"
EXCLUDED = {
    "37e86d44552ff4": INTEGERS,
    "bcd1b035ac393a": INTEGERS,
    "d1293ec50c768b": INTEGERS,
    "847111d33f70ad": INTEGERS,
    "55851763818116": NOT_THIS_SURFACE,
    "8a75f0485f81b2": NOT_THIS_SURFACE,
    "b3cca0ac45ba82": NOT_THIS_SURFACE,
    "d0ea4389492d30": NOT_THIS_SURFACE,
}
REFUSED = {"245cb2d2880bbc": "a message of the role invalid_role, which the provider refused and we refuse as well"}
WIRES: dict[str, tuple[ChatDialect, tuple[str, ...]]] = {
    "azure-openai": (openai_chat.DIALECT, ("chat.completions",)),
    "vertex": (gemini_generate.DIALECT, ("generateContent", "streamGenerateContent")),
}
each = pytest.mark.parametrize("provider", sorted(WIRES))


@cache
def exchanges(provider: str) -> tuple[dict[str, Any], ...]:
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    wanted = [row for row in rows if row["provider"] == provider and row["surface"] in WIRES[provider][1]]
    return tuple(json.loads((CORPUS / row["file"]).read_text()) | {"id": row["id"]} for row in wanted)


@cache
def oracle() -> Any:
    spec = importlib.util.spec_from_file_location("neutral_oracle", ORACLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def path_of(request: dict[str, Any]) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.get("query") or [])
    return f"{request['path']}?{query}" if query else str(request["path"])


def events_of(dialect: ChatDialect, data: bytes, cuts: list[int]) -> list[StreamEvent]:
    decoder = dialect.stream_decoder()
    pieces = (data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True))
    return [*(event for piece in pieces for event in decoder.feed(piece)), *decoder.close()]


def check(exchange: dict[str, Any], answer: Response) -> None:
    expected = oracle().summary(exchange)
    assert answer.text == expected["text"], exchange["id"]
    calls = [(call.name, json.loads(call.arguments or "{}")) for call in answer.tool_calls]
    assert calls == [tuple(call) for call in expected["tool_calls"]], exchange["id"]
    counted = (answer.usage.input_total, answer.usage.output_total) if answer.usage else (None, None)
    assert counted == (expected["in_tokens"], expected["out_tokens"]), exchange["id"]


@each
def test_every_request_goes_back_equal(provider: str) -> None:
    dialect = WIRES[provider][0]
    for exchange in exchanges(provider):
        recorded = exchange["request"]
        if recorded is None or recorded.get("body") is None or exchange["id"] in REFUSED:
            continue
        rendered = dialect.render_request(dialect.parse_request(encode(recorded["body"]), path_of(recorded)), ANY_MODEL)
        assert decode(encode(rendered.payload)) == recorded["body"], exchange["id"]
        assert rendered.notes == (), exchange["id"]


@each
def test_every_answer_is_read_as_the_oracle_does(provider: str, capsys: pytest.CaptureFixture[str]) -> None:
    dialect = WIRES[provider][0]
    counts: Counter[str] = Counter()
    for exchange in exchanges(provider):
        response = exchange["response"]
        if response["status"] >= 400 or exchange["id"] in EXCLUDED:
            counts["excluded" if exchange["id"] in EXCLUDED else "errors"] += 1
        elif "sse_raw" in response:
            data = response["sse_raw"].encode()
            whole = events_of(dialect, data, [])
            check(exchange, fold(whole, dialect.name))
            assert events_of(dialect, data, list(range(1, len(data)))) == whole, exchange["id"]
            places = random.Random(exchange["id"])
            for _ in range(64):
                assert events_of(dialect, data, sorted(places.sample(range(1, len(data)), 5))) == whole, exchange["id"]
            counts["streams"] += 1
        else:
            answer = dialect.parse_response(encode(response["body"]))
            check(exchange, answer)
            assert decode(dialect.render_response(answer)) == response["body"], exchange["id"]
            counts["answers"] += 1
    assert counts["answers"] + counts["streams"] >= {"azure-openai": 38, "vertex": 54}[provider]
    with capsys.disabled():
        print(f"\n  {provider}: {dict(counts)}", end=" ")


@each
def test_every_error_is_classified(provider: str) -> None:
    dialect = WIRES[provider][0]
    refused = [exchange["response"] for exchange in exchanges(provider) if exchange["response"]["status"] >= 400]
    kinds = {dialect.parse_error(found["status"], found["headers"], encode(found["body"])).kind.value for found in refused}
    assert kinds <= {"auth", "bad_request"} and kinds


def test_routes_lead_where_the_recorded_clients_went() -> None:
    seen = Counter[str]()
    for exchange in exchanges("vertex"):
        request = exchange["request"]
        if request is None or "enum-encoding" in path_of(request):
            continue
        _, _, _, project, _, location, *_ = request["path"].split("/")
        parsed = gemini_generate.DIALECT.parse_request(encode(request["body"]), path_of(request))
        ours = f"/v1beta/models/{parsed.model}:{request['path'].rpartition(':')[2]}" + ("?alt=sse" if parsed.stream else "")
        routed = vertex.route(ours, parsed.model, {"project": project, "location": location})
        assert routed.replace("%3C", "<").replace("%3E", ">") == path_of(request)
        seen["vertex"] += 1
    for exchange in exchanges("azure-openai"):
        request = exchange["request"]
        if request is None or "/deployments/" not in request["path"] or not request.get("query"):
            continue
        version = dict(request["query"])["api-version"]
        deployment = request["path"].split("/")[3]
        assert azure_openai.route("/chat/completions", deployment, {"api_version": version}) == path_of(request)
        seen["azure"] += 1
    assert seen["vertex"] > 40 and seen["azure"] > 5


def test_azure_names_the_model_in_the_path() -> None:
    body = b'{"messages":[{"role":"user","content":"Hi"}]}'
    request = openai_chat.DIALECT.parse_request(body, "/openai/deployments/my%20gpt/chat/completions?api-version=1")
    assert request.model == "my gpt"
    assert encode(openai_chat.DIALECT.render_request(request, ANY_MODEL).payload) == body
