"""Recorded embeddings of eight providers: requests go back equal, vectors and counts are those of the recording."""

from __future__ import annotations

import base64
import json
import os
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headgate.dialects import embed_bedrock, embed_gemini, embed_openai, embed_vertex
from headgate.dialects.embed import EmbedDialect
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.embedding import EmbedRequest
from headgate.errors import ErrorKind
from headgate.wire.json import decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}"),
]

Exchange = dict[str, Any]
SURFACES: dict[tuple[str, str], tuple[EmbedDialect, int]] = {
    ("openai", "embeddings"): (embed_openai.DIALECT, 28),
    ("azure-openai", "embeddings"): (embed_openai.DIALECT, 2),
    ("mistral", "embeddings"): (embed_openai.DIALECT, 5),
    ("openrouter", "embeddings"): (embed_openai.DIALECT, 2),
    ("voyage", "embeddings"): (embed_openai.DIALECT, 5),
    ("gemini", "batchEmbedContents"): (embed_gemini.DIALECT, 10),
    ("gemini", "embedContent"): (embed_gemini.DIALECT, 2),
    ("bedrock", "invoke"): (embed_bedrock.DIALECT, 12),
    ("vertex", "predict"): (embed_vertex.DIALECT, 11),
    ("vertex", "embedContent"): (embed_vertex.DIALECT, 1),
}
surfaces = pytest.mark.parametrize("surface", SURFACES, ids="/".join)


@cache
def exchanges(provider: str, surface: str) -> tuple[Exchange, ...]:
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    wanted = [row["file"] for row in rows if row["provider"] == provider and row["surface"] == surface]
    found = [json.loads((CORPUS / file).read_text()) for file in wanted]
    return tuple(e for e in found if surface != "invoke" or "embed" in (e["request"] or {}).get("path", "") or is_titan(e))


def is_titan(exchange: Exchange) -> bool:
    """Recorded through an inference profile, whose id does not say the model."""
    return "inputText" in ((exchange["request"] or {}).get("body") or {}) and "embedding" in exchange["response"]["body"]


def requests(provider: str, surface: str) -> list[Exchange]:
    return [e for e in exchanges(provider, surface) if e["request"] and e["request"].get("body") is not None]


def answers(provider: str, surface: str) -> list[Exchange]:
    return [e for e in exchanges(provider, surface) if e["response"]["status"] < 400]


def parsed(exchange: Exchange, dialect: EmbedDialect) -> EmbedRequest:
    request = exchange["request"]
    return dialect.parse_request(encode(request["body"]), request["path"])


@surfaces
def test_the_number_of_recordings_is_what_it_was(surface: tuple[str, str]) -> None:
    assert len(exchanges(*surface)) == SURFACES[surface][1]


@surfaces
def test_every_request_goes_back_equal(surface: tuple[str, str]) -> None:
    dialect = SURFACES[surface][0]
    for exchange in requests(*surface):
        request = parsed(exchange, dialect)
        rendered = dialect.render_request(request, ANY_MODEL)
        assert decode(encode(rendered.payload)) == exchange["request"]["body"], exchange["id"]
        assert rendered.notes == (), exchange["id"]
        assert len(request.inputs) <= dialect.max_inputs(request.model), exchange["id"]


@surfaces
def test_every_answer_has_the_vectors_and_counts_of_the_recording_and_goes_back_equal(surface: tuple[str, str]) -> None:
    dialect = SURFACES[surface][0]
    for exchange in answers(*surface):
        reply = exchange["response"]
        response = dialect.parse_response(encode(reply["body"]), reply["headers"])
        assert [list(item.values) for item in response.embeddings] == vectors(reply["body"]), exchange["id"]
        assert [item.index for item in response.embeddings] == list(range(len(response.embeddings))), exchange["id"]
        count = tokens(reply)
        assert (None if response.usage is None else response.usage.input_total) == count, exchange["id"]
        asked = EmbedRequest(model="m", inputs=("",))
        if exchange["request"]:
            asked = parsed(exchange, dialect)
            assert len(response.embeddings) == len(asked.inputs), exchange["id"]
        assert decode(dialect.render_response(response, asked)) == reply["body"], exchange["id"]


def vectors(body: Any) -> list[list[float]]:
    """The vectors of any recorded answer, read by shape alone."""
    if "data" in body:
        return [numbers(item["embedding"]) for item in sorted(body["data"], key=lambda item: item["index"])]
    if "predictions" in body:
        return [item["embeddings"]["values"] for item in body["predictions"]]
    if "embedding" in body:
        found = body["embedding"]
        return [found["values"] if isinstance(found, dict) else found]
    rows = body["embeddings"]
    rows = rows["float"] if isinstance(rows, dict) else rows
    return [row if isinstance(row, list) else row.get("values", row.get("embedding")) for row in rows]


def numbers(value: Any) -> list[float]:
    return [n for (n,) in struct.iter_unpack("<f", base64.b64decode(value))] if isinstance(value, str) else value


def tokens(reply: Any) -> int | None:
    """The count of any recorded answer."""
    body = reply["body"]
    if "predictions" in body:
        return sum(item["embeddings"]["statistics"]["token_count"] for item in body["predictions"])
    usage = body.get("usage") or body.get("usageMetadata") or {}
    said = usage.get("prompt_tokens", usage.get("total_tokens", usage.get("promptTokenCount")))
    header = reply["headers"].get("x-amzn-bedrock-input-token-count")
    return said if header is None else int(header)


def test_every_error_is_classified() -> None:
    kinds = {404: ErrorKind.NOT_FOUND, 401: ErrorKind.AUTH}
    found = [(SURFACES[s][0], e["response"]) for s in SURFACES for e in exchanges(*s) if e["response"]["status"] >= 400]
    for dialect, reply in found:
        error = dialect.parse_error(reply["status"], reply["headers"], encode(reply["body"]))
        assert error.kind is kinds[reply["status"]]
        assert error.message == reply["body"]["error"]["message"]
    assert len(found) == 10


def test_refusals_of_invoke_are_classified() -> None:
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    refused = [row["file"] for row in rows if row["provider"] == "bedrock" and row["surface"] == "invoke" and row["status"] >= 400]
    kinds = []
    for file in refused:
        reply = json.loads((CORPUS / file).read_text())["response"]
        error = embed_bedrock.parse_error(reply["status"], reply["headers"], encode(reply["body"]))
        assert error.message == reply["body"]["message"]
        kinds.append(error.kind)
    assert sorted(kinds) == [ErrorKind.AUTH, ErrorKind.PERMISSION]
