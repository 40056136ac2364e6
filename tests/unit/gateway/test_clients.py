"""What well-known clients send, as they send it: answered on the short way through the protocol and by the endpoints, the same to the byte.

The shapes are those of Codex CLI 0.162, Claude Code 2.1, Gemini CLI, LangChain 1.7 and the Vercel AI SDK 6.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from headgate.client import Target
from headgate.gateway.fast.chat import FastChat
from headgate.ledger import Receipt
from headgate.serving.turn import Turn
from headgate.sim.faults import Garbage, Rule, Status
from headgate.sim.settings import SimSettings
from headgate.testing.gateway import Gate, Rig, running_gateway
from headgate.testing.simulators import target_at
from headgate.wire.json import Json, JsonObject

SESSION = "0199f2c1-6f0a-7d3e-9d7e-1d2f3a4b5c6d"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SHELL = {"type": "object", "properties": {"command": {"type": "array", "items": {"type": "string"}}}, "required": ["command"]}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


class Shape(NamedTuple):
    """A request without its model: path, headers, body; and the simulated provider that speaks its wire."""

    path: str
    provider: str
    headers: dict[str, str]
    body: JsonObject
    short: bool = True


CODEX: JsonObject = {
    "instructions": "You are a coding agent running in the Codex CLI.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>read-only</permissions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where is the harbour?"}]},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": '{"output":"a.py","metadata":{"exit_code":0}}'},
    ],
    "tools": [{"type": "function", "name": "shell", "description": "Runs a command.", "strict": False, "parameters": SHELL}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "store": False,
    "stream": True,
    "include": [],
    "prompt_cache_key": SESSION,
}
CLAUDE: JsonObject = {
    "max_tokens": 4096,
    "stream": True,
    "system": [{"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Where is it?", "cache_control": {"type": "ephemeral", "ttl": "5m"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"command": ["x"]}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a harbour", "is_error": False}]},
    ],
    "tools": [{"name": "Read", "description": "Reads.", "input_schema": SHELL}],
    "metadata": {"user_id": f"user_1_account__session_{SESSION}"},
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "a_field_of_tomorrow": {"kept": ["as", "it", "is"]},
}
CLAUDE_HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,context-management-2025-06-27,a-beta-of-tomorrow-2027-01-01",
    "anthropic-dangerous-direct-browser-access": "true",
    "x-app": "cli",
    "x-claude-code-session-id": SESSION,
    "user-agent": "claude-cli/2.1.126 (external, cli)",
    "x-stainless-retry-count": "0",
}
WEATHER: JsonObject = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}
ASK: Json = [{"role": "user", "content": "Where is the harbour?"}]
IMAGE: Json = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]
SHAPES = {
    "codex": Shape("/v1/responses", "sim-openai", {"accept": "text/event-stream", "originator": "codex_cli_rs"}, CODEX),
    "codex, its own headers": Shape("/v1/responses", "sim-openai", {"session_id": SESSION, "conversation_id": SESSION}, CODEX, short=False),
    "claude code": Shape("/v1/messages?beta=true", "sim-anthropic", CLAUDE_HEADERS, CLAUDE),
    "claude code, whole": Shape("/v1/messages?beta=true", "sim-anthropic", CLAUDE_HEADERS, {**CLAUDE, "stream": False}),
    "langchain": Shape(
        "/v1/chat/completions",
        "sim-openai",
        {"x-stainless-lang": "python"},
        {"messages": ASK, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.7, "tools": [WEATHER]},
    ),
    "vercel, chat": Shape("/v1/chat/completions", "sim-openai", {"user-agent": "ai/6.0"}, {"messages": ASK, "max_tokens": 50}),
    "vercel, stream": Shape("/v1/chat/completions", "sim-openai", {"user-agent": "ai/6.0"}, {"messages": ASK, "stream": True}),
    "vercel, forced tool": Shape(
        "/v1/chat/completions", "sim-openai", {}, {"messages": ASK, "stream": True, "tools": [WEATHER], "tool_choice": "required"}
    ),
    "vercel, image": Shape(
        "/v1/chat/completions", "sim-openai", {}, {"messages": [{"role": "user", "content": IMAGE}], "stream": True}, short=False
    ),
    "completion": Shape("/v1/completions", "sim-openai", {}, {"prompt": "The harbour", "max_tokens": 20, "stream": True}, short=False),
    "umlauts": Shape(
        "/v1/chat/completions", "sim-openai", {}, {"messages": [{"role": "user", "content": "\u00e4\U0001f600"}], "user": "u-1"}
    ),
}


CREATED = re.compile(rb'"created(_at)?":\d+')


class Reply(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def post(rig: Rig, path: str, headers: dict[str, str], body: JsonObject) -> Reply:
    """One request on a connection of its own; our id of it reads ID, and the provider's clock stands still."""
    parts = urlsplit(rig.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        given = {"content-type": "application/json", "authorization": f"Bearer {rig.key}", **headers}
        connection.request("POST", path, json.dumps(body).encode(), given)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders() if name.lower() != "date"}
        ours, data = found.get("x-headgate-request-id", "-"), answer.read()
        pairs = sorted((name, value.replace(ours, "ID")) for name, value in found.items())
        return Reply(answer.status, pairs, CREATED.sub(rb'"created":0', data.replace(ours.encode(), b"ID")))
    finally:
        connection.close()


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Rig]]:
    """Two gateways over simulators that say the same: one with the short way, one without."""
    names = {"opus": "sim-anthropic/sim-small", "sonnet": "sim-anthropic/sim-small", "haiku": "sim-openai/sim-small"}
    here, there = tmp_path_factory.mktemp("short"), tmp_path_factory.mktemp("long")
    with (
        running_gateway(here, settings=SimSettings(seed=7), gate=Gate(aliases=names)) as short,
        running_gateway(there, settings=SimSettings(seed=7), gate=Gate(aliases=names, fast=False)) as long,
    ):
        yield short, long


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request that the short way was offered was taken by it."""
    found: list[bool] = []
    serve = FastChat.serve

    def noted(self: FastChat, turn: Turn) -> bool:
        found.append(serve(self, turn))
        return found[-1]

    monkeypatch.setattr(FastChat, "serve", noted)
    return found


def both(twins: tuple[Rig, Rig], shape: Shape, model: str = "") -> tuple[Reply, Reply]:
    """The answers of both gateways."""
    body = {"model": model or f"{shape.provider}/sim-small", **shape.body}
    first, second = (post(rig, shape.path, shape.headers, body) for rig in twins)
    return first, second


def booked(rig: Rig) -> Receipt:
    """The latest receipt."""
    rig.run(rig.drain())
    return rig.all_receipts()[-1]


@pytest.mark.parametrize("name", SHAPES)
def test_both_ways_answer_alike(twins: tuple[Rig, Rig], taken: list[bool], name: str) -> None:
    shape = SHAPES[name]
    short, long = both(twins, shape)
    assert short.status == 200, short.body
    assert short == long
    assert any(taken) is shape.short
    one, other = (booked(rig) for rig in twins)
    assert (one.cost_nanos, one.usage, one.session, one.finish) == (other.cost_nanos, other.usage, other.session, other.finish)


FAULTS = {
    "refused": Rule(Status("bad_request")),
    "forbidden": Rule(Status("permission")),
    "no JSON": Rule(Garbage()),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["codex", "claude code", "claude code, whole", "vercel, chat", "vercel, stream"])
def test_both_ways_fail_alike(twins: tuple[Rig, Rig], fault: str, name: str) -> None:
    for rig in twins:
        rig.sim.set_faults((FAULTS[fault],))
    try:
        short, long = both(twins, SHAPES[name])
    finally:
        for rig in twins:
            rig.sim.set_faults(())
            rig.calm()
    assert short == long


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("provider", ["sim-openai", "sim-anthropic", "sim-gemini", "sim-bedrock"])
def test_every_shape_is_answered_by_every_provider(twins: tuple[Rig, Rig], name: str, provider: str) -> None:
    shape = SHAPES[name]
    answer = post(twins[0], shape.path, shape.headers, {"model": f"{provider}/sim-small", **shape.body})
    assert answer.status == 200, answer.body
    assert b'"error":{' not in answer.body


GEMINI_CLI: JsonObject = {
    "contents": [{"role": "user", "parts": [{"text": "Where is the harbour?"}]}],
    "systemInstruction": {"role": "user", "parts": [{"text": "You are an interactive CLI agent."}]},
    "tools": [{"functionDeclarations": [{"name": "read_file", "description": "Reads.", "parametersJsonSchema": CITY}]}],
    "generationConfig": {"temperature": 0, "topP": 1},
}


@pytest.mark.parametrize("provider", ["sim-openai", "sim-anthropic", "sim-gemini"])
@pytest.mark.parametrize("place", ["/v1beta/models/", "/v1/models/", "/v1beta/"])
def test_gemini_cli_and_clients_that_leave_models_out(twins: tuple[Rig, Rig], provider: str, place: str) -> None:
    headers = {"x-goog-api-key": twins[0].key, "user-agent": "GeminiCLI/0.30.0"}
    path = f"{place}{provider}/sim-small"
    whole = post(twins[0], f"{path}:generateContent", headers, GEMINI_CLI)
    stream = post(twins[0], f"{path}:streamGenerateContent?alt=sse", headers, GEMINI_CLI)
    count = post(twins[0], f"{path}:countTokens", headers, {"contents": GEMINI_CLI["contents"]})
    assert (whole.status, stream.status, count.status) == (200, 200, 200), (whole, stream, count)
    assert json.loads(whole.body)["candidates"][0]["finishReason"] == "STOP"
    assert b'"finishReason":' in stream.body
    assert json.loads(count.body)["totalTokens"] > 0


def test_what_is_not_there_is_told_in_googles_envelope(twins: tuple[Rig, Rig]) -> None:
    answer = post(twins[0], "/v1beta/tunedModels:list", {}, {})
    assert (answer.status, json.loads(answer.body)["error"]["status"]) == (404, "NOT_FOUND")


EVENTS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"sim-small",'
    b'"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b'event: tomorrow\ndata: {"type":"tomorrow", "kept" : [1, 2]}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Here."}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    b'"usage":{"output_tokens":3}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
TOO_LONG = (
    b'{ "type":"error",  "error":{"type":"invalid_request_error","message":"prompt is too long: 212102 tokens > 200000 maximum"},'
    b'"request_id":"req_1", "more": null }\n'
)


class Provider(ThreadingHTTPServer):
    """Notes what it is asked, and says what it was told to say."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Noting)
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.said: tuple[int, str, bytes] = (200, "text/event-stream", b"".join(EVENTS))


class Noting(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        status, kind, data = self.server.said
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[True, False], ids=["short", "long"])
def noted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Rig, Provider]]:
    """A gateway, with and without the short way, in front of a provider that takes notes."""
    with Provider() as provider:
        thread = threading.Thread(target=provider.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{provider.server_port}"

        def there(target: Target) -> Target:
            return target_at(target.provider, url, target.model, target.credential, target.card)

        gate = Gate(aliases={"opus": "sim-anthropic/sim-small"}, fast=request.param)
        with running_gateway(tmp_path, change=there, gate=gate) as rig:
            yield rig, provider
        provider.shutdown()
        thread.join()


def test_claude_codes_names_fields_and_betas_arrive(noted: tuple[Rig, Provider]) -> None:
    rig, provider = noted
    body = {"model": "opus", **CLAUDE}
    answer = post(rig, "/v1/messages?beta=true", CLAUDE_HEADERS, body)
    assert (answer.status, answer.body) == (200, b"".join(EVENTS))
    path, headers, sent = provider.asked[-1]
    assert path.endswith("/v1/messages?beta=true")
    assert headers["anthropic-beta"] == CLAUDE_HEADERS["anthropic-beta"]
    assert headers["anthropic-version"] == CLAUDE_HEADERS["anthropic-version"]
    assert not {"x-app", "x-claude-code-session-id", "x-headgate-session"} & headers.keys()
    assert json.loads(sent) == {**body, "model": "sim-small"}
    receipt = booked(rig)
    assert (receipt.provider, receipt.session) == ("sim-anthropic", SESSION)
    assert (receipt.usage.input_total, receipt.usage.output_total) == (9, 3)


def test_a_providers_own_error_goes_back_untouched(noted: tuple[Rig, Provider]) -> None:
    rig, provider = noted
    provider.said = (400, "application/json", TOO_LONG)
    answer = post(rig, "/v1/messages?beta=true", CLAUDE_HEADERS, {"model": "opus", **CLAUDE})
    assert (answer.status, answer.body) == (400, TOO_LONG)
