"""Translation cases of embeddings, over every pair of embeddings wires."""

from __future__ import annotations

import base64
import struct
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects import embed_bedrock, embed_gemini, embed_ollama, embed_openai, embed_vertex
from headgate.dialects.embed import EmbedDialect
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.embedding import Embedding, EmbedRequest, EmbedResponse
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, Unsupported, WireError
from headgate.wire.json import Json, decode, encode

CASES = frozenset({59, 107, 108})
"""Case 109 is shown by tests/gateway_sdk/test_openai_embeddings.py: only whoever makes the calls could ask another model."""

DIALECTS = {module.DIALECT.name: module.DIALECT for module in (embed_openai, embed_gemini, embed_ollama, embed_vertex, embed_bedrock)}
MODELS = {"bedrock_embeddings": "cohere.embed-v4:0", "vertex_embeddings": "text-embedding-005"}
PAIRS = [pytest.param(DIALECTS[one], DIALECTS[other], id=f"{one}-to-{other}") for one, other in permutations(DIALECTS, 2)]
pairs = pytest.mark.parametrize(("source", "target"), PAIRS)
each = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
TEXTS = ("the harbour", "naïve 🙂", "")
USAGE = Usage(input_uncached=9)


def asked(dialect: EmbedDialect, **fields: Json) -> EmbedRequest:
    return EmbedRequest(model=MODELS.get(dialect.name, "a-model"), **{"inputs": TEXTS, **fields})


def through(dialect: EmbedDialect, request: EmbedRequest) -> EmbedRequest:
    rendered = dialect.render_request(request, ANY_MODEL)
    return dialect.parse_request(encode(rendered.payload), rendered.path)


def renamed(request: EmbedRequest, dialect: EmbedDialect) -> EmbedRequest:
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    return EmbedRequest(**{**fields, "model": MODELS.get(dialect.name, "a-model")})


@pairs
def test_texts_and_dimensions_survive_a_translation(source: EmbedDialect, target: EmbedDialect) -> None:
    first = through(source, asked(source, dimensions=64))
    back = through(target, renamed(first, target))
    assert (back.inputs, back.dimensions) == (TEXTS, 64)


@pairs
@pytest.mark.parametrize("task", ["query", "document"])
def test_a_task_arrives_or_is_reported(source: EmbedDialect, target: EmbedDialect, task: str) -> None:
    request = renamed(through(source, asked(source, task=task)), target)
    rendered = target.render_request(request, ANY_MODEL)
    back = target.parse_request(encode(rendered.payload), rendered.path)
    assert back.task == request.task or "task" in {note.field for note in rendered.notes}


@pairs
def test_vectors_survive_a_translation(source: EmbedDialect, target: EmbedDialect) -> None:
    vectors = ((0.25, -1.5), (0.5, 2.0), (0.0, -0.0))
    made = EmbedResponse(embeddings=tuple(Embedding(i, v) for i, v in enumerate(vectors)), model="a-model", usage=USAGE)
    first = source.parse_response(source.render_response(made, asked(source)), {embed_bedrock.COUNT_HEADER: "9"})
    back = target.parse_response(target.render_response(first, asked(target)), {embed_bedrock.COUNT_HEADER: "9"})
    assert tuple(item.values for item in back.embeddings) == vectors
    assert [item.index for item in back.embeddings] == [0, 1, 2]
    assert back.usage is not None and back.usage.input_total == 9


def test_case_59_embeddings_count_the_tokens_of_the_input_and_nothing_else() -> None:
    answer = b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"m","usage":{"total_tokens":3}}'
    found = embed_openai.parse_response(answer, {}).usage
    assert found is not None and (found.input_total, found.output_total) == (3, 0)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=40))
def test_case_107_base64_is_little_endian_32_bit_floats(values: list[float]) -> None:
    made = EmbedResponse(embeddings=(Embedding(0, tuple(values)),), model="m", usage=USAGE)
    request = EmbedRequest(model="m", inputs=("x",), encoding="base64")
    body = embed_openai.render_response(made, request)
    packed = decode(body)["data"][0]["embedding"]
    assert struct.unpack(f"<{len(values)}f", base64.b64decode(packed)) == tuple(values)
    assert embed_openai.parse_response(body, {}).embeddings[0].values == tuple(values)


def test_case_107_encoding_format_is_never_null() -> None:
    request = embed_openai.parse_request(b'{"model":"m","input":"x","encoding_format":null}', "/embeddings")
    assert "encoding_format" not in embed_openai.render_request(request, ANY_MODEL).payload
    assert "encoding_format" not in embed_openai.render_request(EmbedRequest(model="m", inputs=("x",)), ANY_MODEL).payload


@pytest.mark.parametrize("name", sorted(DIALECTS.keys() - {"openai_embeddings"}))
def test_case_107_tokens_are_refused_where_only_text_is_read(name: str) -> None:
    dialect = DIALECTS[name]
    request = embed_openai.parse_request(b'{"model":"m","input":["x",[1,2]]}', "/embeddings")
    with pytest.raises(Unsupported) as refused:
        dialect.render_request(renamed(request, dialect), ANY_MODEL)
    assert refused.value.param == "input[1]"


def test_case_108_how_many_inputs_a_call_takes() -> None:
    limits = {
        ("openai_embeddings", "text-embedding-3-small"): 2048,
        ("gemini_embeddings", "gemini-embedding-001"): 100,
        ("bedrock_embeddings", "amazon.titan-embed-text-v2:0"): 1,
        ("bedrock_embeddings", "us.cohere.embed-v4:0"): 96,
        ("vertex_embeddings", "gemini-embedding-001"): 1,
        ("vertex_embeddings", "text-embedding-005"): 250,
    }
    assert {place: DIALECTS[place[0]].max_inputs(place[1]) for place in limits} == limits


def test_case_108_dimensions_of_a_model_that_has_one_length_are_refused() -> None:
    request = EmbedRequest(model="amazon.titan-embed-text-v1", inputs=("x",), dimensions=256)
    with pytest.raises(Unsupported) as refused:
        embed_bedrock.render_request(request, ANY_MODEL)
    assert refused.value.param == "dimensions"


def test_a_model_of_no_known_family_is_refused() -> None:
    with pytest.raises(Unsupported) as refused:
        embed_bedrock.render_request(EmbedRequest(model="amazon.nova-micro-v1:0", inputs=("x",)), ANY_MODEL)
    assert refused.value.param == "model"


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
EXTRA = st.dictionaries(st.sampled_from(["x_one", "x_two"]), st.none() | st.booleans() | st.integers() | WORDS, max_size=2)


@given(st.lists(WORDS, min_size=1, max_size=4), st.none() | st.integers(1, 4096), st.none() | WORDS, EXTRA)
def test_openai_requests_go_back_equal(texts: list[str], dimensions: int | None, task: str | None, extra: dict[str, Json]) -> None:
    body: dict[str, Json] = {"model": "m", "input": texts, **extra}
    body |= {} if dimensions is None else {"dimensions": dimensions}
    body |= {} if task is None else {"input_type": task}
    rendered = embed_openai.render_request(embed_openai.parse_request(encode(body), ""), ANY_MODEL)
    assert (rendered.payload, rendered.notes) == (body, ())


TASK = st.none() | st.sampled_from([*embed_gemini.WORDS.values(), "query", "TASK_TYPE_UNSPECIFIED"])
ITEM = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"parts": st.lists(st.fixed_dictionaries({"text": WORDS}), min_size=1, max_size=2)})},
    optional={"taskType": TASK, "title": WORDS, "outputDimensionality": st.integers(1, 99), "model": st.just("models/m"), "x": WORDS},
)


@given(st.lists(ITEM, min_size=1, max_size=3), st.sampled_from(["v1", "v1beta"]))
def test_gemini_requests_go_back_equal(items: list[Json], version: str) -> None:
    for item in items:
        item["model"] = "models/m"
    path = f"/{version}/models/m:batchEmbedContents"
    rendered = embed_gemini.render_request(embed_gemini.parse_request(encode({"requests": items}), path), ANY_MODEL)
    assert (rendered.path, rendered.payload, rendered.notes) == (path, {"requests": items}, ())


@given(ITEM)
def test_single_gemini_requests_go_back_equal(item: Json) -> None:
    rendered = embed_gemini.render_request(embed_gemini.parse_request(encode(item), "/v1beta/models/m:embedContent"), ANY_MODEL)
    assert (rendered.path, rendered.payload) == ("/v1beta/models/m:embedContent", item)


@pytest.mark.parametrize("key", ["task_type", "output_dimensionality"])
def test_gemini_keys_keep_their_other_spelling(key: str) -> None:
    value = "RETRIEVAL_QUERY" if key == "task_type" else 8
    item = {"content": {"role": "user", "parts": [{"text": "x"}]}, key: value}
    request = embed_gemini.parse_request(encode(item), "/v1beta/models/m:embedContent")
    assert request.task == "query" or request.dimensions == 8
    assert embed_gemini.render_request(request, ANY_MODEL).payload == item


@pytest.mark.parametrize("target", sorted(DIALECTS.keys() - {"gemini_embeddings"}))
def test_contents_that_are_no_single_text_are_refused_elsewhere(target: str) -> None:
    item = {"content": {"parts": [{"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}}
    request = embed_gemini.parse_request(encode(item), "/v1beta/models/m:embedContent")
    with pytest.raises(Unsupported) as refused:
        DIALECTS[target].render_request(renamed(request, DIALECTS[target]), ANY_MODEL)
    assert refused.value.param == "input[0].content"


def test_the_older_ollama_path() -> None:
    request = embed_ollama.parse_request(b'{"model":"m","prompt":"x","keep_alive":0}', "/api/embeddings")
    rendered = embed_ollama.render_request(request, ANY_MODEL)
    assert (rendered.path, rendered.payload) == ("/api/embeddings", {"model": "m", "prompt": "x", "keep_alive": 0})
    answer = EmbedResponse(embeddings=(Embedding(0, (1.0,)),), model="m", usage=USAGE)
    assert decode(embed_ollama.render_response(answer, request)) == {"embedding": [1.0]}


@each
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"input":[1.5]}', b'{"embeddings":[[null]]}', b'{"data":[1]}'])
def test_what_is_no_answer_is_said_to_be_none(dialect: EmbedDialect, body: bytes) -> None:
    with pytest.raises(WireError):
        dialect.parse_response(body, {})


@each
@given(st.integers(200, 599), st.binary(max_size=40))
def test_errors_are_read_whatever_they_are(dialect: EmbedDialect, status: int, body: bytes) -> None:
    error = dialect.parse_error(status, {}, body)
    assert dialect.render_error(error).status >= 400


@each
@pytest.mark.parametrize("kind", ErrorKind)
def test_errors_keep_their_message_in_every_envelope(dialect: EmbedDialect, kind: ErrorKind) -> None:
    rendered = dialect.render_error(ProviderError(kind, "it broke", retry_after=1.5))
    assert b"it broke" in rendered.body
    assert dict(rendered.headers).get("retry-after") == "2"
