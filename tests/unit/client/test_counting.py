"""Counting tokens: by the provider, by a tokenizer, by estimate; and a bound that holds."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.client.counting import TokenCount, at_most, count_tokens
from headgate.dialects.counting import ANTHROPIC, GEMINI, OPENAI, VERTEX, CountDialect, counted
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.request import Request, user_message
from headgate.errors import ErrorKind, ProviderError, WireError
from headgate.providers import PROVIDERS
from headgate.sim.faults import Status
from headgate.testing import samples
from headgate.testing.essence import conversation, functions
from headgate.testing.simulators import QUICK, fault, running_simulator, simulated_target
from headgate.transport.http1 import HttpClient
from headgate.wire.json import decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))
COUNTING = ("sim-openai", "sim-anthropic", "sim-gemini", "sim-vertex")


def count(name: str, request: Request, *, faults: bool = False, tokenize: bool = False) -> TokenCount:
    with running_simulator() as simulator:
        if faults:
            simulator.set_faults(fault("count_tokens", Status("rate_limit")))
        target = simulated_target(PROVIDERS[name], simulator)

        async def ask() -> TokenCount:
            async with HttpClient(QUICK) as http:
                return await count_tokens(http, target, request, (lambda text: len(text.split())) if tokenize else None)

        return asyncio.run(ask())


@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize("shown", ["plain", "system", "tools", "tool_loop", "sampled"])
def test_a_provider_that_counts_is_asked(name: str, shown: str) -> None:
    found = count(name, samples.REQUESTS[shown])
    assert found.source == "provider"
    assert found.at_most is not None and 0 < found.tokens <= found.at_most


def test_others_are_estimated_and_say_so() -> None:
    found = count("sim-groq", samples.PLAIN)
    assert (found.source, found.tokens) == ("estimated", 4)
    assert count("sim-groq", samples.PLAIN, tokenize=True).source == "tokenizer"


def test_a_refusal_of_a_provider_that_counts_is_no_estimate() -> None:
    with pytest.raises(ProviderError) as caught:
        count("sim-anthropic", samples.PLAIN, faults=True)
    assert caught.value.kind is ErrorKind.RATE_LIMIT


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_the_bound_is_never_below_a_count_of_bytes_or_words(texts: list[str]) -> None:
    request = Request(model="m", messages=tuple(user_message(text) for text in texts))
    bound = at_most(request)
    assert bound is not None
    assert bound >= sum(len(text.encode("utf-8", "replace")) for text in texts) + 8 * len(texts)


def test_pictures_have_no_bound_in_bytes() -> None:
    assert at_most(samples.PICTURE) is None


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, GEMINI, VERTEX], ids=lambda found: found.name)
@pytest.mark.parametrize("shown", ["system", "tool_loop", "tools", "picture"])
def test_what_is_counted_is_what_would_be_sent(dialect: CountDialect, shown: str) -> None:
    request = msgspec.structs.replace(samples.REQUESTS[shown], model="a-model")
    rendered = dialect.render_request(request, ANY_MODEL)
    back = dialect.parse_request(encode(rendered.payload), rendered.path)
    assert back.model == "a-model"
    assert conversation(back) == conversation(request)
    assert functions(back) == functions(request)
    assert not {"max_tokens", "stream", "temperature"} & set(rendered.payload)


def test_gemini_and_vertex_word_it_differently() -> None:
    assert set(GEMINI.render_request(samples.SYSTEM, ANY_MODEL).payload) == {"generateContentRequest"}
    assert {"contents", "systemInstruction"} <= set(VERTEX.render_request(samples.SYSTEM, ANY_MODEL).payload)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, GEMINI], ids=lambda found: found.name)
def test_counts_go_there_and_back(dialect: CountDialect) -> None:
    assert dialect.parse_response(dialect.render_response(42)) == 42
    for body in (b"{}", b"[]", b"null", b'{"input_tokens":"7","totalTokens":true}', b'{"input_tokens":-1,"totalTokens":-1}', b"{"):
        with pytest.raises(WireError):
            dialect.parse_response(body)
    assert counted(b'{"n":0}', "n") == 0


@pytest.mark.corpus
@pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}")
def test_recorded_counts_are_read_and_their_requests_understood() -> None:
    surfaces = {"messages.count_tokens": ANTHROPIC, "countTokens": GEMINI}
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    seen = 0
    for row in rows:
        dialect = surfaces.get(row["surface"])
        recorded = json.loads((CORPUS / row["file"]).read_text()) if dialect is not None else None
        if dialect is None or recorded is None or recorded["response"]["status"] >= 400:
            continue
        request = dialect.parse_request(encode(recorded["request"]["body"]), recorded["request"]["path"])
        wording = VERTEX if row["provider"] == "vertex" else dialect
        assert decode(encode(wording.render_request(request, ANY_MODEL).payload)) == recorded["request"]["body"], row["id"]
        assert dialect.parse_response(encode(recorded["response"]["body"])) > 0
        seen += 1
    assert seen >= 9
