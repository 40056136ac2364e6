"""Every visible recording of the core providers, of Azure and of Vertex is accounted for: a wire of ours reads it, or it is none of ours.

The tests of each dialect hold each recording to the oracle, at every split. Here each is read once, by the wire its surface belongs to, and
counted; what cannot be read is listed by id with the reason.
"""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headgate.dialects import (
    anthropic_messages,
    bedrock_anthropic,
    bedrock_converse,
    counting,
    embed_gemini,
    embed_openai,
    embed_vertex,
    gemini_generate,
    ollama_chat,
    openai_chat,
    openai_completions,
    openai_responses,
)
from headgate.dialects.base import ChatDialect
from headgate.domain.fold import fold
from headgate.errors import HeadgateError, ProviderError
from headgate.wire.eventstream import encode_frame
from headgate.wire.json import encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[2].parent / "shared" / "corpus"))

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}"),
]

CHAT: dict[str, ChatDialect] = {
    "chat.completions": openai_chat.DIALECT,
    "responses": openai_responses.DIALECT,
    "completions": openai_completions.DIALECT,
    "messages": anthropic_messages.DIALECT,
    "generateContent": gemini_generate.DIALECT,
    "streamGenerateContent": gemini_generate.DIALECT,
    "api.chat": ollama_chat.DIALECT,
    "converse": bedrock_converse.DIALECT,
    "converse-stream": bedrock_converse.DIALECT,
    "invoke": bedrock_anthropic.DIALECT,
    "invoke-with-response-stream": bedrock_anthropic.DIALECT,
}
OTHERS: dict[tuple[str, str], Callable[[bytes, dict[str, str]], object]] = {
    ("openai", "embeddings"): embed_openai.DIALECT.parse_response,
    ("azure-openai", "embeddings"): embed_openai.DIALECT.parse_response,
    ("gemini", "embedContent"): embed_gemini.DIALECT.parse_response,
    ("gemini", "batchEmbedContents"): embed_gemini.DIALECT.parse_response,
    ("vertex", "embedContent"): embed_vertex.DIALECT.parse_response,
    ("vertex", "predict"): embed_vertex.DIALECT.parse_response,
    ("anthropic", "messages.count_tokens"): lambda body, headers: counting.ANTHROPIC.parse_response(body),
    ("gemini", "countTokens"): lambda body, headers: counting.GEMINI.parse_response(body),
    ("vertex", "countTokens"): lambda body, headers: counting.VERTEX.parse_response(body),
}
FLOWS = {"batches", "files", "messages.batches", "batchGenerateContent"}
"""Surfaces of batches, which the tests of the batch envelopes read call by call."""
NOT_OURS = {
    "assistants", "audio", "cachedcontents", "conversations", "fine_tuning", "images", "interactions", "models", "moderations", "other",
    "realtime", "rerank", "threads", "uploadToFileSearchStore", "vector_stores", "api.generate", "api.show", "count-tokens",
}  # fmt: skip
"""Surfaces that are no chat, embedding, count or batch, or not the one of these that Headgate uses."""
LEGACY = {("anthropic", "completions"): "the text completions that came before Messages, no longer served"}
INTEGERS = "asks for enumerations as integers (enum-encoding=int), which Headgate never does"
UNREADABLE: dict[str, str] = {
    "37e86d44552ff4": INTEGERS,
    "bcd1b035ac393a": INTEGERS,
    "d1293ec50c768b": INTEGERS,
    "847111d33f70ad": INTEGERS,
    "55851763818116": "a Responses API answer recorded under the name of chat completions",
    "8a75f0485f81b2": "a Responses API answer recorded under the name of chat completions",
    "b3cca0ac45ba82": "a Responses API answer recorded under the name of chat completions",
    "d0ea4389492d30": "a Responses API answer recorded under the name of chat completions",
}


@cache
def rows() -> tuple[dict[str, Any], ...]:
    found = (json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines())
    return tuple(row for row in found if row["tier"] == "core" or row["provider"] in ("azure-openai", "vertex"))


def stream_of(response: dict[str, Any]) -> bytes | None:
    if "sse_raw" in response:
        return str(response["sse_raw"]).encode()
    if "raw_b64" not in response and "eventstream" in response:
        return b"".join(encode_frame(frame["headers"], encode(frame["payload"])) for frame in response["eventstream"])
    if "raw_b64" in response:
        return base64.b64decode(response["raw_b64"])
    if isinstance(response.get("body"), list):
        return encode(response["body"])
    if "ndjson" in response:
        return b"".join(encode(line) + b"\n" for line in response["ndjson"])
    return None


def read_chat(dialect: ChatDialect, response: dict[str, Any]) -> str:
    """Read a success or a refusal; what it was."""
    if response["status"] >= 400:
        error = dialect.parse_error(response["status"], response.get("headers") or {}, encode(response.get("body")))
        assert error.message
        return "errors"
    stream = stream_of(response)
    if stream is None:
        try:
            dialect.parse_response(encode(response["body"]))
        except ProviderError:
            return "errors"
        return "answers"
    decoder = dialect.stream_decoder()
    fold([*decoder.feed(stream), *decoder.close()], dialect.name)
    return "streams"


def claude(exchange: dict[str, Any]) -> bool:
    """Whether an InvokeModel exchange carries a Messages body."""
    body = (exchange["request"] or {}).get("body")
    return isinstance(body, dict) and "anthropic_version" in body and "messages" in body


def classify(row: dict[str, Any]) -> tuple[str, str]:
    """(surface, what the recording is) after reading it. Raises what the wire raises."""
    exchange = json.loads((CORPUS / row["file"]).read_text())
    surface, provider, response = row["surface"], row["provider"], exchange["response"]
    if (provider, surface) in LEGACY or surface in NOT_OURS:
        return surface, "not a surface of ours"
    if surface in FLOWS:
        return surface, "batches and files"
    if surface.startswith("invoke") and not claude(exchange):
        return surface, "bodies of other models"
    if exchange["request"] and exchange["request"]["path"].endswith("/responses/input_tokens"):
        counting.OPENAI.parse_response(encode(response["body"]))
        return surface, "vectors and counts"
    if (provider, surface) in OTHERS:
        if response["status"] < 400:
            OTHERS[provider, surface](encode(response["body"]), response.get("headers") or {})
        return surface, "vectors and counts"
    return surface, read_chat(CHAT[surface], response)


def test_every_recording_is_accounted_for(capsys: pytest.CaptureFixture[str]) -> None:
    counts: dict[str, Counter[str]] = {}
    unread: dict[str, str] = {}
    for row in rows():
        try:
            surface, kind = classify(row)
        except (HeadgateError, KeyError) as error:
            unread[row["id"]] = repr(error)
            surface, kind = row["surface"], "unreadable"
        counts.setdefault(f"{row['provider']} {surface}", Counter())[kind] += 1
    with capsys.disabled():
        print()
        for surface, kinds in sorted(counts.items()):
            print(f"  {surface:40s} " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
        total = sum((kinds for kinds in counts.values()), Counter[str]())
        print("  all: " + ", ".join(f"{count} {kind}" for kind, count in total.most_common()))
    assert unread.keys() == UNREADABLE.keys(), {name: unread.get(name) for name in unread.keys() ^ UNREADABLE.keys()}
