"""Every key the simulator writes was seen in recorded traffic, with the same JSON type."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer

from headgate.sim.faults import Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.wire.json import Json

ROOT = Path(__file__).parents[3]
EXCHANGES = Path(os.environ.get("HEADGATE_CORPUS", ROOT.parent / "shared" / "corpus"))
CORPUS = EXCHANGES / "core"
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the recorded traffic is not here; set HEADGATE_CORPUS"),
]
FREE = ("input", "args", "arguments", "schema", "parameters", "metadata", "effort")
"""Keys below which anything may be written."""

CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "Tell me about harbours, look, city: Lima"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Tell me about harbours, look, city: Lima"}]}]}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
OPENAI_TOOLS = {"tools": [{"type": "function", "function": {"name": "look", "parameters": CITY}}]}
ANTHROPIC_TOOLS = {"tools": [{"name": "look", "input_schema": CITY}]}
GEMINI_TOOLS = {"tools": [{"functionDeclarations": [{"name": "look", "parameters": CITY}]}]}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
THOUGHTS = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
KINDS = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null", list: "array", dict: "object"}
Http = Callable[..., Json]


def shape(value: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """``(path, JSON type)`` of every node; list items share a path."""
    yield path, KINDS[type(value)]
    for item in value if isinstance(value, list) else ():
        yield from shape(item, path + "[]")
    for key, item in value.items() if isinstance(value, dict) else ():
        if key not in FREE:
            yield from shape(item, f"{path}.{key}")


def sse(raw: str) -> list[Json]:
    frames = [line.removeprefix("data:").strip() for line in raw.replace("\r", "").split("\n") if line.startswith("data:")]
    return [json.loads(frame) for frame in frames if frame and frame != "[DONE]"]


def recorded(surface: str, *, stream: bool, error: bool = False) -> set[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    folder = EXCHANGES / surface if surface.startswith("adjacent/") else CORPUS / surface
    for path in folder.glob("*.json"):
        answer = json.loads(path.read_text())["response"]
        if error != (answer["status"] >= 400):
            continue
        frames = [frame.get("inner", frame["payload"]) for frame in answer.get("eventstream") or ()]
        values = [*sse(answer.get("sse_raw") or ""), *frames] if stream else [answer.get("body"), *(answer.get("ndjson") or [])]
        for value in values:
            if value is not None:
                seen |= set(shape(value))
    return seen


def check(seen: set[tuple[str, str]], *values: Json) -> None:
    assert seen, "nothing recorded"
    for value in values:
        assert sorted(set(shape(value)) - seen) == []


OPENAI = ("/openai/v1/chat/completions", CHAT, {"authorization": "Bearer sim-key"}, "openai/chat.completions")
ANTHROPIC = (
    "/anthropic/v1/messages",
    {**CHAT, "max_tokens": 2000},
    {"x-api-key": "sim-key", "anthropic-version": "2023-06-01"},
    "anthropic/messages",
)
GEMINI = ("/gemini/v1beta/models/sim-flash:generateContent", CONTENTS, {}, "gemini/generateContent")
STREAM = {"stream": True}


@pytest.mark.parametrize(
    ("wire", "extra"),
    [
        (OPENAI, {}),
        (OPENAI, {"n": 2, "reasoning_effort": "low"}),
        (OPENAI, OPENAI_TOOLS),
        (ANTHROPIC, {}),
        (ANTHROPIC, ANTHROPIC_TOOLS),
        (ANTHROPIC, THINKING),
        (GEMINI, {}),
        (GEMINI, GEMINI_TOOLS),
        (GEMINI, THOUGHTS),
    ],
)
def test_answers(http: Http, wire: tuple[str, Json, dict[str, str], str], extra: Json) -> None:
    path, body, headers, surface = wire
    reply = http("POST", path, {**body, **extra}, headers)
    assert reply.status == 200
    check(recorded(surface, stream=False), reply.json())


@pytest.mark.parametrize(
    ("wire", "extra"),
    [
        (OPENAI, {**STREAM, "stream_options": {"include_usage": True}}),
        (OPENAI, {**STREAM, **OPENAI_TOOLS}),
        (ANTHROPIC, STREAM),
        (ANTHROPIC, {**STREAM, **ANTHROPIC_TOOLS}),
        (ANTHROPIC, {**STREAM, **THINKING}),
        (GEMINI, {}),
        (GEMINI, GEMINI_TOOLS),
        (GEMINI, THOUGHTS),
    ],
)
def test_streams(http: Http, wire: tuple[str, Json, dict[str, str], str], extra: Json) -> None:
    path, body, headers, surface = wire
    path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
    reply = http("POST", path, {**body, **extra}, headers)
    assert reply.headers["content-type"].startswith("text/event-stream")
    check(recorded(surface.replace("generateContent", "streamGenerateContent"), stream=True), *sse(reply.body.decode()))


@pytest.mark.parametrize("wire", [OPENAI, ANTHROPIC, GEMINI])
@pytest.mark.parametrize("name", ["auth", "bad_request", "rate_limit"])
def test_errors(sim: Simulator, http: Http, wire: tuple[str, Json, dict[str, str], str], name: str) -> None:
    sim.set_faults((Rule(Status(name), Match(operation="chat")),))
    path, body, headers, surface = wire
    reply = http("POST", path, body, headers)
    assert reply.status >= 400
    seen = recorded(surface, stream=False, error=True)
    check(seen | (recorded("openai/files", stream=False, error=True) if wire is OPENAI else set()), reply.json())


def test_openai_batches_and_files(sim: Simulator, http: Http) -> None:
    row = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    form = b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    form += b'--B\r\ncontent-disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n' + json.dumps(row).encode() + b"\r\n--B--\r\n"
    auth = {"authorization": "Bearer sim-key"}
    file = http("POST", "/openai/v1/files", form, {**auth, "content-type": "multipart/form-data; boundary=B"}).json()
    asked = {"input_file_id": file["id"], "endpoint": row["url"], "completion_window": "24h"}
    made = http("POST", "/openai/v1/batches", asked, auth).json()
    sim.advance(3600)
    done = http("GET", f"/openai/v1/batches/{made['id']}", headers=auth).json()
    result = json.loads(http("GET", f"/openai/v1/files/{done['output_file_id']}/content", headers=auth).body)
    body = result["response"].pop("body")
    files = recorded("openai/files", stream=False)
    check(files, file, result)
    check(recorded("openai/batches", stream=False), made, done)
    check(recorded("openai/chat.completions", stream=False), body)


def test_anthropic_batches(sim: Simulator, http: Http) -> None:
    headers = ANTHROPIC[2]
    rows = {"requests": [{"custom_id": "a", "params": ANTHROPIC[1]}]}
    made = http("POST", "/anthropic/v1/messages/batches", rows, headers).json()
    path = f"/anthropic/v1/messages/batches/{made['id']}"
    running = http("GET", path, headers=headers).json()
    sim.advance(3600)
    done = http("GET", path, headers=headers).json()
    seen = recorded("anthropic/messages.batches", stream=False)
    check(seen, made, running, done, json.loads(http("GET", path + "/results", headers=headers).body))


def test_gemini_batches(sim: Simulator, http: Http) -> None:
    rows = {
        "batch": {"displayName": "x", "inputConfig": {"requests": {"requests": [{"request": CONTENTS, "metadata": {"custom_id": "a"}}]}}}
    }
    made = http("POST", "/gemini/v1beta/models/sim-flash:batchGenerateContent", rows).json()
    sim.advance(20)
    running = http("GET", f"/gemini/v1beta/{made['name']}").json()
    sim.advance(3600)
    done = http("GET", f"/gemini/v1beta/{made['name']}").json()
    check(recorded("gemini/batchGenerateContent", stream=False), made)
    check(recorded("gemini/batches", stream=False), running, done)


BEARER = {"authorization": "Bearer sim-key"}
AZURE_KEY = {"api-key": "sim-key"}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Tell me about harbours, look, city: Lima"}]}]}
CONVERSE_TOOLS = {"toolConfig": {"tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": CITY}}}]}}
INVOKE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 2000, "messages": CHAT["messages"]}
ASKED = {"model": "sim-small", "input": "Tell me about harbours, look, city: Lima"}
RESPONSES_TOOLS = {"tools": [{"type": "function", "name": "look", "parameters": CITY}]}
THOUGHT = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
FORMAT = {"text": {"format": {"type": "json_schema", "name": "city", "schema": CITY}}}
LEGACY = {"model": "sim-small", "prompt": ["one", "two"], "n": 2}
EMBED = {"model": "sim-small", "input": ["one", "two"], "dimensions": 8}
CONTENT = {"content": {"parts": [{"text": "one"}]}}
VERTEX = "/vertex/v1/projects/p/locations/l/publishers/google/models/sim-flash"
DEPLOYMENT = "/azure/openai/deployments/sim-small"
VERSION = "?api-version=2024-10-21"
BEDROCK = "/bedrock/model/us.anthropic.claude-v1%3A0"
COHERE = {"texts": ["one"], "input_type": "search_query"}
BATCH_EMBED = {"requests": [{"model": "models/sim-flash", **CONTENT}]}
LOW = {"reasoning_effort": "low"}


@pytest.mark.parametrize(
    ("path", "body", "surface"),
    [
        ("/openai/v1/responses", ASKED, "openai/responses"),
        ("/openai/v1/responses", {**ASKED, **RESPONSES_TOOLS}, "openai/responses"),
        ("/openai/v1/responses", {**ASKED, **THOUGHT}, "openai/responses"),
        ("/openai/v1/responses", {**ASKED, **FORMAT}, "openai/responses"),
        ("/openai/v1/responses", {**ASKED, "max_output_tokens": 16}, "openai/responses"),
        ("/openai/v1/completions", LEGACY, "openai/completions"),
        ("/openai/v1/embeddings", EMBED, "openai/embeddings"),
        ("/openai/v1/embeddings", {**EMBED, "encoding_format": "base64"}, "openai/embeddings"),
        ("/gemini/v1/models/sim-flash:batchEmbedContents", BATCH_EMBED, "gemini/batchEmbedContents"),
        ("/gemini/v1/models/sim-flash:generateContent", CONTENTS, "gemini/generateContent"),
        ("/gemini/v1beta/models/sim-flash:countTokens", CONTENTS, "gemini/countTokens"),
        ("/groq/openai/v1/chat/completions", CHAT, "groq/chat.completions"),
        ("/groq/openai/v1/chat/completions", {**CHAT, **OPENAI_TOOLS, **LOW}, "groq/chat.completions"),
        ("/together/v1/chat/completions", CHAT, "together/chat.completions"),
        ("/together/v1/chat/completions", {**CHAT, **OPENAI_TOOLS}, "together/chat.completions"),
        ("/xai/v1/chat/completions", CHAT, "xai/chat.completions"),
        ("/xai/v1/chat/completions", {**CHAT, **OPENAI_TOOLS, **LOW}, "xai/chat.completions"),
        ("/xai/v1/responses", {**ASKED, **THOUGHT}, "xai/responses"),
        (f"{DEPLOYMENT}/chat/completions{VERSION}", CHAT, "adjacent/azure-openai/chat.completions"),
        (f"{DEPLOYMENT}/chat/completions{VERSION}", {**CHAT, **OPENAI_TOOLS}, "adjacent/azure-openai/chat.completions"),
        (f"{DEPLOYMENT}/embeddings{VERSION}", EMBED, "adjacent/azure-openai/embeddings"),
        ("/azure/openai/v1/responses", ASKED, "adjacent/azure-openai/responses"),
        (f"{VERTEX}:generateContent", CONTENTS, "adjacent/vertex/generateContent"),
        (f"{VERTEX}:generateContent", {**CONTENTS, **GEMINI_TOOLS}, "adjacent/vertex/generateContent"),
        (f"{VERTEX}:countTokens", CONTENTS, "adjacent/vertex/countTokens"),
        (f"{VERTEX}:predict", {"instances": [{"content": "one"}]}, "adjacent/vertex/predict"),
        (f"{VERTEX}:embedContent", CONTENT, "adjacent/vertex/embedContent"),
        ("/ollama/api/chat", {**CHAT, "stream": False, "think": True}, "ollama/api.chat"),
        ("/ollama/api/chat", {**CHAT, **OPENAI_TOOLS, "stream": False}, "ollama/api.chat"),
        ("/ollama/api/generate", {"model": "sim-small", "prompt": "hello", "stream": False}, "ollama/api.generate"),
        ("/ollama/api/show", {"model": "sim-small"}, "ollama/api.show"),
        (f"{BEDROCK}/converse", CONVERSE, "bedrock/converse"),
        (f"{BEDROCK}/converse", {**CONVERSE, **CONVERSE_TOOLS}, "bedrock/converse"),
        (f"{BEDROCK}/converse", {**CONVERSE, "additionalModelRequestFields": THINKING}, "bedrock/converse"),
        (f"{BEDROCK}/invoke", INVOKE, "bedrock/invoke"),
        (f"{BEDROCK}/count-tokens", {"input": {"converse": CONVERSE}}, "bedrock/count-tokens"),
        ("/bedrock/model/amazon.titan-embed-text-v2:0/invoke", {"inputText": "one"}, "bedrock/invoke"),
        ("/bedrock/model/cohere.embed-v4:0/invoke", COHERE, "bedrock/invoke"),
        ("/bedrock/model/cohere.embed-english-v3/invoke", COHERE, "bedrock/invoke"),
    ],
)
def test_answers_of_the_other_wires(http: Http, path: str, body: Json, surface: str) -> None:
    reply = http("POST", path, body, {**BEARER, **AZURE_KEY})
    assert reply.status == 200, reply.body
    check(recorded(surface, stream=False), reply.json())


@pytest.mark.parametrize(
    ("path", "body", "surface"),
    [
        ("/openai/v1/responses", {**ASKED, **STREAM}, "openai/responses"),
        ("/openai/v1/responses", {**ASKED, **RESPONSES_TOOLS, **STREAM}, "openai/responses"),
        ("/openai/v1/responses", {**ASKED, **THOUGHT, **STREAM}, "openai/responses"),
        ("/openai/v1/completions", {**LEGACY, **STREAM, "stream_options": {"include_usage": True}}, "openai/completions"),
        ("/groq/openai/v1/chat/completions", {**CHAT, **STREAM, **LOW}, "groq/chat.completions"),
        ("/groq/openai/v1/chat/completions", {**CHAT, **STREAM, **OPENAI_TOOLS}, "groq/chat.completions"),
        ("/xai/v1/chat/completions", {**CHAT, **STREAM, **LOW, "stream_options": {"include_usage": True}}, "xai/chat.completions"),
        ("/xai/v1/chat/completions", {**CHAT, **STREAM, **OPENAI_TOOLS}, "xai/chat.completions"),
        ("/xai/v1/responses", {**ASKED, **STREAM, "reasoning": {"effort": "low"}}, "xai/responses"),
        (f"{DEPLOYMENT}/chat/completions{VERSION}", {**CHAT, **STREAM}, "adjacent/azure-openai/chat.completions"),
        (f"{VERTEX}:streamGenerateContent?alt=sse", CONTENTS, "adjacent/vertex/streamGenerateContent"),
    ],
)
def test_streams_of_the_other_wires(http: Http, path: str, body: Json, surface: str) -> None:
    reply = http("POST", path, body, {**BEARER, **AZURE_KEY})
    assert reply.status == 200, reply.body
    check(recorded(surface, stream=True), *sse(reply.body.decode()))


def test_together_streams_are_completion_chunks_with_deltas(http: Http) -> None:
    reply = http("POST", "/together/v1/chat/completions", {**CHAT, **STREAM}, BEARER)
    check(recorded("together/completions", stream=True), *sse(reply.body.decode()))


@pytest.mark.parametrize(
    ("path", "body", "surface"),
    [
        ("/ollama/api/chat", CHAT, "ollama/api.chat"),
        ("/ollama/api/chat", {**CHAT, **OPENAI_TOOLS}, "ollama/api.chat"),
        ("/ollama/api/generate", {"model": "sim-small", "prompt": "hello"}, "ollama/api.generate"),
    ],
)
def test_ollama_streams(http: Http, path: str, body: Json, surface: str) -> None:
    check(recorded(surface, stream=False), *map(json.loads, http("POST", path, body).body.splitlines()))


@pytest.mark.parametrize(
    ("path", "body", "surface"),
    [
        (f"{BEDROCK}/converse-stream", CONVERSE, "bedrock/converse-stream"),
        (f"{BEDROCK}/converse-stream", {**CONVERSE, **CONVERSE_TOOLS}, "bedrock/converse-stream"),
        (f"{BEDROCK}/converse-stream", {**CONVERSE, "additionalModelRequestFields": THINKING}, "bedrock/converse-stream"),
        (f"{BEDROCK}/invoke-with-response-stream", INVOKE, "bedrock/invoke-with-response-stream"),
        (f"{BEDROCK}/invoke-with-response-stream", {**INVOKE, **ANTHROPIC_TOOLS}, "bedrock/invoke-with-response-stream"),
    ],
)
def test_bedrock_streams(http: Http, path: str, body: Json, surface: str) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(http("POST", path, body, BEARER).body)
    payloads = [json.loads(event.payload) for event in buffer]
    values = [json.loads(base64.b64decode(payload["bytes"])) if "bytes" in payload else payload for payload in payloads]
    check(recorded(surface, stream=True), *values)


@pytest.mark.parametrize(
    ("path", "body", "surface"),
    [
        ("/openai/v1/responses", ASKED, "openai/responses"),
        ("/openai/v1/embeddings", EMBED, "openai/embeddings"),
        ("/groq/openai/v1/chat/completions", CHAT, "groq/chat.completions"),
        (f"{DEPLOYMENT}/chat/completions{VERSION}", CHAT, "adjacent/azure-openai/chat.completions"),
        (f"{VERTEX}:predict", {"instances": [{"content": "one"}]}, "adjacent/vertex/predict"),
        (f"{BEDROCK}/converse", CONVERSE, "bedrock/converse"),
    ],
)
def test_refusals_of_the_other_wires(sim: Simulator, http: Http, path: str, body: Json, surface: str) -> None:
    sim.fail("auth")
    reply = http("POST", path, body, {**BEARER, **AZURE_KEY})
    assert reply.status in (401, 403)
    check(recorded(surface, stream=False, error=True), reply.json())
