"""Embeddings on every wire that has them: unit vectors, the same for the same text, near for texts that share words."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Callable
from struct import unpack

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.sim import vectors
from headgate.sim.server import Simulator
from headgate.wire.json import Json

Http = Callable[..., Json]
BEARER = {"authorization": "Bearer sim-key", "api-key": "sim-key"}
VERTEX = "/vertex/v1/projects/p/locations/l/publishers/google/models/sim-flash"


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@given(st.text(max_size=40), st.integers(1, 64))
def test_vectors_have_length_one_and_do_not_change(text: str, size: int) -> None:
    made = vectors.vector(text, size)
    assert made == vectors.vector(text, size) and len(made) == size
    assert math.isclose(cosine(made, made), 1.0, abs_tol=1e-6) or not any(made)


def test_texts_that_share_words_are_near() -> None:
    one, two, far = (vectors.vector(text, 512) for text in ("a quiet harbour", "the quiet harbour", "prime numbers"))
    assert cosine(one, two) > 0.5 > cosine(one, far)


def test_openai(sim: Simulator, openai_client: openai.OpenAI) -> None:
    made = openai_client.embeddings.create(model="sim-small", input=["one", "two words"])
    plain = openai_client.embeddings.create(model="sim-small", input=["one", "two words"], encoding_format="float")
    assert [len(item.embedding) for item in made.data] == [1536, 1536]
    for item, same in zip(made.data, plain.data, strict=True):
        assert item.embedding == pytest.approx(same.embedding, abs=1e-7)
    assert made.usage.prompt_tokens == made.usage.total_tokens == 4
    assert [line.nanos for line in sim.bill.lines] == [600, 600] and sim.bill.lines[0].usage.input == 4


@pytest.mark.parametrize(
    ("given", "count", "tokens"), [("one", 1, 1), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3), (["x"] * 2048, 2048, 2048)]
)
def test_openai_inputs(openai_client: openai.OpenAI, given: Json, count: int, tokens: int) -> None:
    made = openai_client.embeddings.create(model="sim-small", input=given, dimensions=4)
    assert [item.index for item in made.data] == list(range(count)) and made.usage.prompt_tokens == tokens


def test_openai_numbers_in_base64_are_32_bit_floats(http: Http) -> None:
    body = {"model": "text-embedding-3-large", "input": "one"}
    path = "/openai/v1/embeddings"
    plain = http("POST", path, body, BEARER).json()["data"][0]["embedding"]
    coded = http("POST", path, {**body, "encoding_format": "base64"}, BEARER).json()["data"][0]["embedding"]
    assert len(plain) == 3072 and list(unpack("<3072f", b64decode(coded))) == pytest.approx(plain, abs=1e-7)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["x", ""]}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": "x" * 40_000}, "input"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "encoding_format": "octal"}, "encoding_format"),
    ],
)
def test_openai_refusals(sim: Simulator, openai_client: openai.OpenAI, body: Json, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.post("/embeddings", cast_to=object, body={"model": "sim-small", **body})
    assert refused.value.param == param and len(sim.bill) == 0
    with pytest.raises(openai.NotFoundError):
        openai_client.embeddings.create(model="unknown-1", input="x")


CASES: list[tuple[str, str, Json, Callable[[Json], list[float]]]] = [
    ("azure", "/azure/openai/v1/embeddings", {"model": "sim-small", "input": "one two"}, lambda body: body["data"][0]["embedding"]),
    ("together", "/together/v1/embeddings", {"model": "sim-small", "input": "one two"}, lambda body: body["data"][0]["embedding"]),
    ("ollama", "/ollama/api/embed", {"model": "sim-small", "input": ["one two"]}, lambda body: body["embeddings"][0]),
    ("ollama", "/ollama/api/embeddings", {"model": "sim-small", "prompt": "one two"}, lambda body: body["embedding"]),
    ("ollama", "/ollama/v1/embeddings", {"model": "sim-small", "input": "one two"}, lambda body: body["data"][0]["embedding"]),
    ("vertex", f"{VERTEX}:predict", {"instances": [{"content": "one two"}]}, lambda body: body["predictions"][0]["embeddings"]["values"]),
    ("vertex", f"{VERTEX}:embedContent", {"content": {"parts": [{"text": "one two"}]}}, lambda body: body["embedding"]["values"]),
    (
        "gemini",
        "/gemini/v1/models/sim-small:embedContent",
        {"content": {"parts": [{"text": "one two"}]}},
        lambda body: body["embedding"]["values"],
    ),
    ("bedrock", "/bedrock/model/amazon.titan-embed-text-v2:0/invoke", {"inputText": "one two"}, lambda body: body["embedding"]),
    (
        "bedrock",
        "/bedrock/model/cohere.embed-v4:0/invoke",
        {"texts": ["one two"], "input_type": "search_query"},
        lambda body: body["embeddings"]["float"][0],
    ),
]


@pytest.mark.parametrize(("wire", "path", "body", "read"), CASES, ids=[case[1] for case in CASES])
def test_every_wire_bills_the_input(
    sim: Simulator, http: Http, wire: str, path: str, body: Json, read: Callable[[Json], list[float]]
) -> None:
    reply = http("POST", path, body, BEARER)
    made = read(reply.json())
    assert math.isclose(cosine(made, made), 1.0, abs_tol=1e-4)
    (line,) = sim.bill.lines
    assert (line.provider, line.usage.input, line.usage.output) == (wire, 2, 0) and line.nanos > 0
    assert sim.requests[-1].operation == "embed"


def test_together_tells_no_usage(http: Http) -> None:
    assert "usage" not in http("POST", "/together/v1/embeddings", {"model": "sim-small", "input": "one"}, BEARER).json()


def test_gemini_batches_of_contents(sim: Simulator, http: Http) -> None:
    path = "/gemini/v1beta/models/sim-flash:batchEmbedContents"
    one = {"model": "models/sim-flash", "content": {"parts": [{"text": "one"}]}, "outputDimensionality": 8}
    made = http("POST", path, {"requests": [one] * 100}).json()
    assert {len(item["values"]) for item in made["embeddings"]} == {8} and len(made["embeddings"]) == 100
    assert made["usageMetadata"]["promptTokenCount"] == sim.bill.lines[0].usage.input == 100
    for wrong in (
        [],
        [one] * 101,
        [{**one, "model": "models/other"}],
        [{**one, "outputDimensionality": 4000}],
        [{**one, "content": {"parts": []}}],
    ):
        assert http("POST", path, {"requests": wrong}).status == 400
    assert http("POST", path.replace("sim-flash", "unknown-1"), {"requests": [one]}).status == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{VERTEX}:predict", {"instances": []}),
        (f"{VERTEX}:predict", {"instances": [{"content": 5}]}),
        ("/ollama/api/embed", {"model": "sim-small", "input": "x" * 40, "options": {"num_ctx": 4}, "truncate": False}),
        ("/ollama/api/embed", {"model": "sim-small", "input": "x", "dimensions": 9999}),
        ("/bedrock/model/amazon.titan-embed-text-v2:0/invoke", {"inputText": ""}),
        ("/bedrock/model/amazon.titan-embed-text-v2:0/invoke", {"inputText": "x", "dimensions": 7}),
        ("/bedrock/model/cohere.embed-v4:0/invoke", {"texts": ["x"]}),
        ("/bedrock/model/cohere.embed-v4:0/invoke", {"texts": [], "input_type": "search_query"}),
    ],
)
def test_refusals_elsewhere(sim: Simulator, http: Http, path: str, body: Json) -> None:
    assert http("POST", path, body, BEARER).status == 400 and len(sim.bill) == 0
