"""Ollama's native API: lines of JSON, a window that forgets without a word, prompts that are not evaluated twice."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from headgate.sim.faults import StreamError
from headgate.sim.server import Simulator
from headgate.wire.json import Json

Http = Callable[..., Json]
HELLO = [{"role": "user", "content": "Tell me about harbours, city: Lima"}]
CHAT = {"model": "sim-small", "messages": HELLO}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def lines(reply: Json) -> list[Json]:
    assert reply.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in reply.body.splitlines()]


@pytest.mark.parametrize("extra", [{}, {"think": True}, {"tools": TOOLS, "messages": [{"role": "user", "content": "look, city: Lima"}]}])
def test_streams_are_the_rule_and_say_what_the_whole_answer_says(http: Http, extra: Json) -> None:
    body = {**CHAT, **extra}
    stream = lines(http("POST", "/ollama/api/chat", body))
    whole = http("POST", "/ollama/api/chat", {**body, "stream": False}).json()
    assert [line["done"] for line in stream] == [False] * (len(stream) - 1) + [True]
    for field in ("content", "thinking"):
        assert "".join(line["message"].get(field, "") for line in stream) == whole["message"].get(field, "")
    calls = [call["function"] for line in stream for call in line["message"].get("tool_calls", ())]
    assert calls == [call["function"] for call in whole["message"].get("tool_calls", ())]
    assert stream[-1]["eval_count"] == whole["eval_count"] and stream[-1]["done_reason"] == "stop"


def test_no_key_is_needed_and_the_account_is_local(sim: Simulator, http: Http) -> None:
    made = http("POST", "/ollama/api/chat", {**CHAT, "model": "sim-large:latest", "stream": False}).json()
    (line,) = sim.bill.lines
    assert (line.provider, line.account, line.model) == ("ollama", "local", "sim-large")
    assert line.nanos == made["prompt_eval_count"] * 3000 + made["eval_count"] * 15_000
    assert made["model"] == "sim-large:latest"


def test_a_repeated_prompt_is_not_evaluated_again(sim: Simulator, http: Http) -> None:
    first, second = (http("POST", "/ollama/api/chat", {**CHAT, "stream": False}).json() for _ in range(2))
    assert first["prompt_eval_count"] > 0 and "prompt_eval_count" not in second
    assert [line.usage.input for line in sim.bill.lines] == [first["prompt_eval_count"], 0]
    sim.advance(400)
    assert http("POST", "/ollama/api/chat", {**CHAT, "stream": False}).json()["prompt_eval_count"] == first["prompt_eval_count"]


def test_an_unloaded_model_remembers_nothing(http: Http) -> None:
    for _ in range(2):
        assert "prompt_eval_count" in http("POST", "/ollama/api/chat", {**CHAT, "stream": False, "keep_alive": 0}).json()


@pytest.mark.parametrize(("window", "counted"), [(None, 2050), (8192, 4098), (65_536, 30_004)])
def test_a_prompt_beyond_the_window_is_cut_without_a_word(http: Http, window: int | None, counted: int) -> None:
    options = {} if window is None else {"num_ctx": window}
    body = {**CHAT, "messages": [{"role": "user", "content": "word " * 24_000}], "options": options, "stream": False}
    reply = http("POST", "/ollama/api/chat", body)
    assert (reply.status, reply.json()["prompt_eval_count"]) == (200, counted)


def test_the_oldest_messages_go_first_and_the_system_stays(http: Http) -> None:
    talk = [{"role": "system", "content": "rule " * 10}] + [{"role": "user", "content": f"{number} " * 200} for number in range(10)]
    made = http("POST", "/ollama/api/chat", {**CHAT, "messages": talk, "options": {"num_ctx": 300}, "stream": False}).json()
    assert 200 < made["prompt_eval_count"] <= 300 and "about" in made["message"]["content"]


def test_truncation_can_be_refused(http: Http) -> None:
    body = {**CHAT, "options": {"num_ctx": 4}, "truncate": False}
    reply = http("POST", "/ollama/api/chat", body)
    assert (reply.status, reply.json()) == (400, {"error": "the input length exceeds the context length"})


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"format": {"type": "object", "properties": {"city": {"type": "string"}}}}, {"city": "Lima"}),
        ({"format": "json"}, {"city": "Lima"}),
    ],
)
def test_formats_are_obeyed(http: Http, extra: Json, text: Json) -> None:
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "city: Lima"}], "stream": False, **extra}
    assert json.loads(http("POST", "/ollama/api/chat", body).json()["message"]["content"]) == text


def test_tool_results_and_pictures_are_read(http: Http) -> None:
    talk = [*HELLO, {"role": "assistant", "content": "", "tool_calls": []}, {"role": "tool", "tool_name": "look", "content": "foggy"}]
    made = http("POST", "/ollama/api/chat", {**CHAT, "messages": talk, "tools": TOOLS, "stream": False}).json()
    assert "foggy" in made["message"]["content"]
    plain = http("POST", "/ollama/api/chat", {**CHAT, "stream": False}).json()["prompt_eval_count"]
    pictured = http("POST", "/ollama/api/chat", {**CHAT, "messages": [{**HELLO[0], "images": ["AA=="]}], "stream": False}).json()
    assert pictured["prompt_eval_count"] > plain + 50


def test_generate(http: Http) -> None:
    body = {"model": "sim-small", "prompt": "Tell me about harbours", "system": "Be brief.", "options": {"num_predict": 3}}
    stream = lines(http("POST", "/ollama/api/generate", body))
    whole = http("POST", "/ollama/api/generate", {**body, "stream": False}).json()
    assert "".join(line["response"] for line in stream) == whole["response"]
    assert (whole["done_reason"], whole["eval_count"]) == ("length", 3) and stream[-1]["context"] == whole["context"]
    later = http("POST", "/ollama/api/generate", {**body, "context": whole["context"], "stream": False}).json()
    assert later["prompt_eval_count"] > len(whole["context"])


@pytest.mark.parametrize(("path", "empty"), [("/ollama/api/chat", "message"), ("/ollama/api/generate", "response")])
def test_models_are_loaded_and_unloaded(sim: Simulator, http: Http, path: str, empty: str) -> None:
    assert http("POST", path, {"model": "sim-small"}).json()["done_reason"] == "load"
    made = http("POST", path, {"model": "sim-small", "keep_alive": 0}).json()
    assert made["done_reason"] == "unload" and empty in made and len(sim.bill) == 0


def test_what_is_there_and_what_is_running(sim: Simulator, http: Http) -> None:
    assert [model["name"] for model in http("GET", "/ollama/api/tags").json()["models"]] == [
        "sim-small:latest",
        "sim-large:latest",
        "sim-flash:latest",
    ]
    assert http("GET", "/ollama/api/ps").json() == {"models": []}
    http("POST", "/ollama/api/chat", CHAT)
    (loaded,) = http("GET", "/ollama/api/ps").json()["models"]
    assert loaded["name"] == "sim-small:latest" and loaded["context_length"] == 4096
    sim.advance(400)
    assert http("GET", "/ollama/api/ps").json() == {"models": []}
    assert "tools" in http("POST", "/ollama/api/show", {"model": "sim-small"}).json()["capabilities"]
    assert http("GET", "/ollama/api/version").json()["version"] and http("GET", "/ollama/").body == b"Ollama is running"


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/ollama/api/chat", {"model": "unknown-1", "messages": HELLO}, 404, "model 'unknown-1' not found"),
        ("/ollama/api/show", {"model": "unknown-1"}, 404, "model 'unknown-1' not found"),
        ("/ollama/api/embed", {"model": "unknown-1", "input": "x"}, 404, "model 'unknown-1' not found"),
        ("/ollama/api/chat", {"messages": HELLO}, 400, "model is required"),
        ("/ollama/api/chat", {**CHAT, "options": {"num_ctx": "many"}}, 400, 'option "num_ctx" must be of type integer'),
    ],
)
def test_refusals(http: Http, path: str, body: Json, status: int, error: str) -> None:
    reply = http("POST", path, body)
    assert (reply.status, reply.json()) == (status, {"error": error})


def test_an_error_in_a_stream_is_a_line(sim: Simulator, http: Http) -> None:
    sim.fail(StreamError(2, "server"), operation="stream")
    stream = lines(http("POST", "/ollama/api/chat", CHAT))
    assert len(stream) == 3 and list(stream[2]) == ["error"]


def test_the_compatible_routes(sim: Simulator, http: Http) -> None:
    made = http("POST", "/ollama/v1/chat/completions", CHAT).json()
    assert made["system_fingerprint"] == "fp_ollama" and made["choices"][0]["message"]["content"]
    refused = http("POST", "/ollama/v1/chat/completions", {**CHAT, "model": "unknown-1"})
    assert (refused.status, refused.json()["error"]["type"]) == (404, "api_error")
