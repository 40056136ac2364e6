"""Providers that speak OpenAI's chat in their own way: Groq, Together, xAI, Azure."""

from __future__ import annotations

import json
from collections.abc import Callable

import openai
import pytest

from headgate.sim.faults import StreamError, Twist
from headgate.sim.server import Simulator
from headgate.wire.json import Json

Http = Callable[..., Json]
HELLO = [{"role": "user", "content": "Tell me about harbours, city: Lima"}]
CHAT = {"model": "sim-small", "messages": HELLO}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
BEARER = {"authorization": "Bearer sim-key", "api-key": "sim-key"}
PATHS = {
    "groq": "/groq/openai/v1/chat/completions",
    "together": "/together/v1/chat/completions",
    "xai": "/xai/v1/chat/completions",
    "azure": "/azure/openai/deployments/sim-small/chat/completions?api-version=2024-10-21",
}
LOW = {"reasoning_effort": "low"}


def frames(reply: Json) -> list[Json]:
    lines = [line.removeprefix("data: ") for line in reply.body.decode().split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def joined(chunks: list[Json], field: str) -> str:
    return "".join(choice["delta"].get(field) or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("extra", [{}, {"n": 2}, {"stop": " about"}, {"max_tokens": 3}, {"tools": TOOLS, "tool_choice": "required"}])
def test_a_stream_says_what_the_whole_answer_says(http: Http, wire: str, extra: Json) -> None:
    whole = http("POST", PATHS[wire], {**CHAT, **extra}, BEARER).json()
    chunks = frames(http("POST", PATHS[wire], {**CHAT, **extra, "stream": True}, BEARER))
    for choice in whole["choices"]:
        own = [{"choices": [part]} for chunk in chunks for part in chunk["choices"] if part["index"] == choice["index"]]
        assert joined(own, "content") == (choice["message"].get("content") or "")
        finish = [part["choices"][0].get("finish_reason") for part in own]
        assert [reason for reason in finish if reason] == [choice["finish_reason"]]
        parts = [call["function"].get("arguments", "") for part in own for call in part["choices"][0]["delta"].get("tool_calls") or ()]
        assert "".join(parts) == "".join(call["function"]["arguments"] for call in choice["message"].get("tool_calls") or ())


@pytest.mark.parametrize("wire", PATHS)
def test_every_flavour_bills_what_it_reports(sim: Simulator, http: Http, wire: str) -> None:
    usage = http("POST", PATHS[wire], {**CHAT, **LOW}, BEARER).json()["usage"]
    (line,) = sim.bill.lines
    assert (line.provider, line.usage.input) == (wire, usage["prompt_tokens"])
    assert line.usage.reasoning > 0
    assert usage["total_tokens"] == line.usage.input + line.usage.output + line.usage.reasoning
    assert usage["completion_tokens"] == line.usage.output + (0 if wire == "xai" else line.usage.reasoning)


@pytest.mark.parametrize("wire", PATHS)
def test_schemas_are_obeyed(http: Http, wire: str) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    body = {**CHAT, "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}}
    answer = http("POST", PATHS[wire], body, BEARER).json()
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"city": "Lima"}


@pytest.mark.parametrize("wire", ["groq", "together", "xai"])
def test_the_openai_client_reads_it(sim: Simulator, wire: str) -> None:
    with openai.OpenAI(base_url=sim.url_of(wire), api_key="sim-key", max_retries=0) as client:
        whole = client.chat.completions.create(**CHAT)
        text = "".join(
            chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**CHAT, stream=True) if chunk.choices
        )
    assert text == whole.choices[0].message.content


def test_the_azure_client_reads_it(sim: Simulator) -> None:
    azure = openai.AzureOpenAI(azure_endpoint=sim.url_of("azure"), api_key="sim-key", api_version="2024-10-21", max_retries=0)
    with azure as client:
        assert client.chat.completions.create(**CHAT).choices[0].finish_reason == "stop"
        assert len(client.embeddings.create(model="sim-small", input="one").data[0].embedding) == 1536
        assert client.responses.create(model="sim-small", input="hello").output_text
        assert client.completions.create(model="sim-small", prompt="x").choices[0].text
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="unknown-1", messages=HELLO)
    assert missing.value.code == "DeploymentNotFound"


def test_groq_tells_usage_in_the_last_chunk_of_every_stream(http: Http) -> None:
    chunks = frames(http("POST", PATHS["groq"], {**CHAT, **LOW, "stream": True}, BEARER))
    whole = http("POST", PATHS["groq"], {**CHAT, **LOW}, BEARER).json()
    assert chunks[-1]["x_groq"]["usage"] == chunks[-1]["usage"] == whole["usage"] and chunks[-1]["choices"]
    assert all("usage" not in chunk for chunk in chunks[:-1])
    assert joined(chunks, "reasoning") == whole["choices"][0]["message"]["reasoning"]


def test_groq_errors_inside_a_stream_are_error_events(sim: Simulator, http: Http) -> None:
    sim.fail(StreamError(2, "rate_limit"))
    body = http("POST", PATHS["groq"], {**CHAT, "stream": True}, BEARER).body.decode()
    *_, event, data = body.strip().split("\n")
    assert event == "event: error" and json.loads(data[6:])["error"]["status_code"] == 429
    assert "[DONE]" not in body


def test_together_ends_with_eos_and_tells_usage_with_it(http: Http) -> None:
    chunks = frames(http("POST", PATHS["together"], {**CHAT, "stream": True}, BEARER))
    assert chunks[-1]["choices"][0]["finish_reason"] == "eos" and chunks[-1]["usage"]["completion_tokens"] > 0
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" and chunk["usage"] is None for chunk in chunks[:-1])
    stopped = http("POST", PATHS["together"], {**CHAT, "stop": [" about"]}, BEARER).json()
    assert stopped["choices"][0]["finish_reason"] == "stop" and stopped["prompt"] == []


def test_xai_counts_reasoning_beside_the_completion(http: Http) -> None:
    usage = http("POST", PATHS["xai"], {**CHAT, **LOW}, BEARER).json()["usage"]
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] + reasoning and reasoning > 0
    made = http("POST", "/xai/v1/responses", {"model": "sim-small", "input": "hello", "reasoning": {"effort": "low"}}, BEARER).json()
    assert made["usage"]["output_tokens"] > made["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


@pytest.mark.parametrize("wire", ["groq", "xai"])
def test_a_call_is_streamed_in_one_delta(http: Http, wire: str) -> None:
    chunks = frames(http("POST", PATHS[wire], {**CHAT, "tools": TOOLS, "tool_choice": "required", "stream": True}, BEARER))
    (call,) = [call for chunk in chunks for part in chunk["choices"] for call in part["delta"].get("tool_calls") or ()]
    assert (call["index"], call["function"]["name"], json.loads(call["function"]["arguments"])) == (0, "look", {"city": "Lima"})


def test_xai_names_the_role_beside_the_first_piece(http: Http) -> None:
    chunks = frames(http("POST", PATHS["xai"], {**CHAT, **LOW, "stream": True}, BEARER))
    roles = [part["delta"].get("role") for chunk in chunks for part in chunk["choices"]]
    assert roles[0] == "assistant" and set(roles[1:]) == {None} and chunks[0]["choices"][0]["delta"]["reasoning_content"]


def test_xai_tells_what_it_cost(sim: Simulator, http: Http) -> None:
    usage = http("POST", PATHS["xai"], CHAT, BEARER).json()["usage"]
    assert usage["cost_in_usd_ticks"] == sim.bill.total * 10
    models = http("GET", "/xai/v1/language-models", headers=BEARER).json()["models"]
    assert {model["id"]: model["prompt_text_token_price"] for model in models} == {
        "sim-small": 1500,
        "sim-large": 30_000,
        "sim-flash": 1000,
    }
    assert http("GET", "/xai/v1/language-models/sim-large", headers=BEARER).json()["completion_text_token_price"] == 150_000
    assert http("GET", "/xai/v1/language-models/unknown-1", headers=BEARER).status == 404


def test_azure_refuses_a_filtered_prompt(sim: Simulator, http: Http) -> None:
    sim.fail(Twist("refusal"))
    reply = http("POST", PATHS["azure"], CHAT, BEARER)
    error = reply.json()["error"]
    assert (reply.status, error["code"], error["innererror"]["code"]) == (400, "content_filter", "ResponsibleAIPolicyViolation")
    assert error["innererror"]["content_filter_result"]["violence"]["filtered"] and len(sim.bill) == 1


@pytest.mark.parametrize(("header", "status"), [({}, 401), ({"authorization": "Bearer xai-wrong"}, 400)])
def test_xai_takes_a_wrong_key_for_a_bad_request(http: Http, header: dict[str, str], status: int) -> None:
    reply = http("POST", PATHS["xai"], CHAT, header)
    assert (reply.status, set(reply.json())) == (status, {"code", "error"})


def test_azure_needs_a_version_and_a_key(http: Http) -> None:
    assert http("POST", PATHS["azure"].partition("?")[0], CHAT, BEARER).status == 404
    wrong = http("POST", PATHS["azure"], CHAT, {"api-key": "other"})
    assert (wrong.status, wrong.json()["error"]["code"]) == (401, "401")
    assert http("POST", "/azure/openai/v1/chat/completions", CHAT, {"authorization": "Bearer sim-key"}).status == 200


def test_azure_says_what_the_filter_found(http: Http) -> None:
    chunks = frames(http("POST", PATHS["azure"], {**CHAT, "stream": True}, BEARER))
    assert chunks[0]["choices"] == [] and chunks[0]["prompt_filter_results"][0]["content_filter_results"]["jailbreak"]["detected"] is False
    whole = http("POST", PATHS["azure"], CHAT, BEARER).json()
    assert whole["choices"][0]["content_filter_results"]["hate"]["severity"] == "safe" and whole["prompt_filter_results"]


SHAPES: dict[str, Callable[[Json], tuple[Json, ...]]] = {
    "groq": lambda body: (body["error"]["type"], body["error"]["code"]),
    "together": lambda body: (body["error"]["type"], body["error"]["code"]),
    "xai": lambda body: (body["code"],),
    "azure": lambda body: (body["error"]["code"],),
}


@pytest.mark.parametrize(
    ("wire", "error", "status", "told"),
    [
        ("groq", "auth", 401, ("invalid_request_error", "invalid_api_key")),
        ("groq", "rate_limit", 429, ("tokens", "rate_limit_exceeded")),
        ("groq", "overloaded", 498, ("internal_server_error", "capacity_exceeded")),
        ("together", "auth", 401, ("invalid_request_error", "invalid_api_key")),
        ("together", "model_not_found", 404, ("invalid_request_error", "model_not_available")),
        ("together", "quota", 402, ("credit_limit", "credit_limit_exceeded")),
        ("xai", "auth", 400, ("Client specified an invalid argument",)),
        ("xai", "rate_limit", 429, ("Some resource has been exhausted",)),
        ("azure", "rate_limit", 429, ("429",)),
        ("azure", "context_length", 400, ("context_length_exceeded",)),
    ],
)
def test_refusals(sim: Simulator, http: Http, wire: str, error: str, status: int, told: tuple[Json, ...]) -> None:
    sim.fail(error)
    reply = http("POST", PATHS[wire], CHAT, BEARER)
    assert (reply.status, SHAPES[wire](reply.json())) == (status, told)


@pytest.mark.parametrize(
    ("wire", "path"), [("groq", "/groq/openai/v1/models"), ("xai", "/xai/v1/models"), ("together", "/together/v1/models")]
)
def test_models_are_listed(http: Http, wire: str, path: str) -> None:
    listed = http("GET", path, headers=BEARER).json()
    assert {model["id"] for model in (listed if wire == "together" else listed["data"])} >= {"sim-small", "sim-large"}
    assert http("GET", path).status in (400, 401)
