"""Every key the simulator writes was seen in recorded traffic, with the same JSON type."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.sim.faults import Match, Rule, Status
from headgate.sim.server import Simulator
from headgate.wire.json import Json

ROOT = Path(__file__).parents[3]
CORPUS = Path(os.environ.get("HEADGATE_CORPUS", ROOT.parent / "shared" / "corpus")) / "core"
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the recorded traffic is not here; set HEADGATE_CORPUS"),
]
FREE = ("input", "args")
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
    for path in (CORPUS / surface).glob("*.json"):
        answer = json.loads(path.read_text())["response"]
        if error != (answer["status"] >= 400):
            continue
        values = sse(answer.get("sse_raw") or "") if stream else [answer.get("body"), *(answer.get("ndjson") or [])]
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
