"""Hostile bytes: whatever a client or a provider sends, a dialect answers with a value or with an error of the tree.

Bodies are made by this project's own renderers and by hand, then spoilt where it hurts: another type at any path, nulls, numbers no float
holds, deep nesting, halves of surrogate pairs, repeated keys, frames that are torn, doubled or out of order.
"""

from __future__ import annotations

import json
import marshal
import os
import random
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects import (
    anthropic_messages,
    batch_anthropic,
    batch_bedrock,
    batch_flavours,
    batch_gemini,
    batch_openai_files,
    batch_xai,
    bedrock_anthropic,
    bedrock_converse,
    counting,
    embed_bedrock,
    embed_gemini,
    embed_ollama,
    embed_openai,
    embed_vertex,
    gemini_generate,
    ollama_chat,
    openai_chat,
    openai_completions,
    openai_responses,
)
from headgate.dialects.base import ChatDialect, StreamContext
from headgate.dialects.batch import BatchDialect, BatchHandle, BatchRequestRow, BatchRows, BatchTag
from headgate.dialects.embed import EmbedDialect
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Text, ToolCall, ToolResult
from headgate.domain.embedding import EmbedRequest
from headgate.domain.events import BlockStart, BlockStop, Delta, Finished, Start, StreamEvent
from headgate.domain.fold import Fold
from headgate.domain.request import Message, user_message
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import HeadgateError, ProviderError, WireError
from headgate.testing import samples
from headgate.wire.eventstream import FrameDecoder, encode_frame
from headgate.wire.http import Answer, Call, Download, Flow, Reply, Save, Stored
from headgate.wire.json import decode, encode
from headgate.wire.ndjson import LineDecoder
from headgate.wire.sse import SseDecoder

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[2].parent / "shared" / "corpus"))
CONTEXT = StreamContext("a-model", "answer-1", samples.CREATED)
CHATS: dict[str, ChatDialect] = {
    module.DIALECT.name: module.DIALECT
    for module in (
        openai_chat,
        openai_responses,
        openai_completions,
        anthropic_messages,
        gemini_generate,
        ollama_chat,
        bedrock_converse,
        bedrock_anthropic,
    )
}
FRAMED = ("bedrock_converse", "bedrock_anthropic")
every_chat = pytest.mark.parametrize("name", sorted(CHATS))
seeds = st.integers(0, 2**32)
ROUNDS = 25
"""Spoilt bodies for each seed."""


def nested(depth: int, key: str = "") -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {key: value} if key else [value]
    return value


SPOILT: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 2**64, -(2**70), 10**400, 1.5, -0.0, 1e308, 5e-324, 253402300800),
    *(
        "",
        "x",
        "\0",
        "a\r\nb: c",
        "é\U0001f600",
        "9" * 5000,
        "-1",
        "NaN",
        "data:image/png;base64,@@",
        "http://[",
        "../..",
        "%2f",
        "{",
        "{}",
    ),
    *("tool", "user", "assistant", "system", "base64", "null", "1e999", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"),
    *([], {}, [[]], [{}], [None], [1], ["a"], {"": ""}, {"a": None}, {"type": "text"}, {"type": "nobody-knows"}, {"type": None}),
    *(nested(150), nested(150, "properties"), nested(300, "content"), nested(400, "anyOf"), nested(900)),
)


def fresh(value: Any) -> Any:
    return marshal.loads(marshal.dumps(value))


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside, at most 3,000."""
    found: list[tuple[Any, Any]] = []
    left = [value]
    while left and len(found) < 3000:
        inside = left.pop()
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside))) if isinstance(inside, list) else []
        found += [(inside, key) for key in keys]
        left += [inside[key] for key in keys]
    return found


def spoil(body: Any, luck: random.Random, keys: list[str]) -> Any:
    """A copy with one to three things wrong."""
    whole = [fresh(body)]
    for _ in range(luck.choice((1, 1, 1, 2, 3))):
        inside, key = luck.choice(places(whole))
        old, bad, what = inside[key], fresh(luck.choice(SPOILT)), luck.random()
        if what < 0.1 and inside is not whole:
            del inside[key]
        elif what < 0.2:
            inside[key] = [old, fresh(old)]
        elif what < 0.3 and isinstance(old, dict):
            old[luck.choice(keys)] = bad
        elif what < 0.4 and isinstance(old, str):
            inside[key] = luck.choice((old[: len(old) // 2], old + "x", old.upper()))
        elif what < 0.5:
            other, place = luck.choice(places(whole))
            inside[key] = fresh(other[place])
        else:
            inside[key] = bad
    return whole[0]


def written(value: Any, luck: random.Random) -> bytes:
    """JSON text of any depth; sometimes with half a surrogate pair or a key given twice, sometimes torn."""
    text = "".join(pieces(value))
    what = luck.random()
    if what < 0.03:
        text = text.replace('"', '\\ud83d"', 2).replace('\\ud83d"', '"', 1)
    elif what < 0.05 and text[:1] == "{":
        text = f"{text[:-1]},{text[1:]}"
    elif what < 0.06:
        text = text[: len(text) // 2]
    return text.encode("utf-8", "surrogatepass")


def pieces(value: Any) -> Iterator[str]:
    left: list[tuple[bool, Any]] = [(False, value)]
    while left:
        ready, item = left.pop()
        if ready:
            yield item
        elif isinstance(item, dict | list):
            inner: list[tuple[bool, Any]] = [(True, "{" if isinstance(item, dict) else "[")]
            for number, key in enumerate(item):
                name = f"{json.dumps(key)}:" if isinstance(item, dict) else ""
                inner += [(True, f"{',' if number else ''}{name}"), (False, item[key] if isinstance(item, dict) else key)]
            left += reversed([*inner, (True, "}" if isinstance(item, dict) else "]")])
        else:
            yield json.dumps(item)


def known_keys(bodies: list[Any]) -> list[str]:
    return sorted({key for body in bodies for _, key in places([body]) if isinstance(key, str)}) or ["a"]


def tolerant(act: Callable[..., Any], *given: Any) -> Any:
    """What `act` returns; None for an error of the tree. Any other error is the finding."""
    try:
        return act(*given)
    except HeadgateError:
        return None


# Chat: requests, answers, errors

LOGPROBS = {"content": [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2, "bytes": None}]}]}


def requests_of(dialect: ChatDialect) -> list[tuple[Any, str]]:
    rendered = [found for each in samples.REQUESTS.values() if (found := tolerant(dialect.render_request, each, ANY_MODEL)) is not None]
    return [(decode(encode(one.payload)), one.path) for one in rendered]


def answers_of(dialect: ChatDialect) -> list[Any]:
    given = [
        *samples.ANSWERS.values(),
        Response(id="a", model="m", choices=(Choice(0, (Text("a"),), Finish.STOP, logprobs=LOGPROBS),), created=1),
    ]
    return [decode(found) for each in given if (found := tolerant(dialect.render_response, each)) is not None]


def attack_requests(dialect: ChatDialect, bodies: list[tuple[Any, str]], luck: random.Random) -> None:
    keys = known_keys([body for body, _ in bodies])
    for _ in range(ROUNDS):
        body, path = luck.choice(bodies)
        path = (
            path
            if luck.random() < 0.95
            else luck.choice(("", "/", "?", "/v1/models/a:generateContent?alt=%ff", "/model/%2f..%00/converse"))
        )
        request = tolerant(dialect.parse_request, written(spoil(body, luck, keys), luck), path)
        for other in CHATS.values() if request is not None else ():
            rendered = tolerant(other.render_request, request, ANY_MODEL)
            if rendered is not None:
                tolerant(encode, rendered.payload)


def attack_answers(dialect: ChatDialect, bodies: list[Any], luck: random.Random) -> None:
    keys = known_keys(bodies)
    for _ in range(ROUNDS):
        response = tolerant(dialect.parse_response, written(spoil(luck.choice(bodies), luck, keys), luck))
        for other in CHATS.values() if response is not None else ():
            tolerant(other.render_response, response)


@every_chat
@settings(max_examples=16, derandomize=True, deadline=None)
@given(seeds)
def test_a_spoilt_request_is_read_and_passed_on_or_refused(name: str, seed: int) -> None:
    attack_requests(CHATS[name], requests_of(CHATS[name]), random.Random(seed))


@every_chat
@settings(max_examples=16, derandomize=True, deadline=None)
@given(seeds)
def test_a_spoilt_answer_is_read_and_passed_on_or_refused(name: str, seed: int) -> None:
    attack_answers(CHATS[name], answers_of(CHATS[name]), random.Random(seed))


ERRORS: list[Any] = [
    {"error": {"message": "no", "type": "invalid_request_error", "code": "bad", "param": "model"}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "no", "details": {"error_code": "x"}}, "request_id": "r"},
    {"error": {"code": 429, "message": "no", "status": "X", "details": [{"@type": "a", "retryDelay": "3s", "reason": "b"}]}},
    {"__type": "com.amazon#ThrottlingException", "message": "no"},
    [{"error": "no"}],
]
ODD_BODIES = (b"", b"null", b"[]", b"\xff", b"<html>", b"<Error><Code>&#%b;</Code></Error>" % (b"9" * 5000), b'"x"', b"1", b"[" * 100_000)
AFTER = ("x", "-1", "1e400", "nan", "9" * 50, "Wed, 21 Oct 9999 07:28:00 GMT", "")


@every_chat
@settings(max_examples=16, derandomize=True, deadline=None)
@given(seeds)
def test_an_error_of_any_kind_is_told_on_every_wire(name: str, seed: int) -> None:
    luck = random.Random(seed)
    for _ in range(ROUNDS):
        body = written(spoil(luck.choice(ERRORS), luck, known_keys(ERRORS)), luck) if luck.random() < 0.8 else luck.choice(ODD_BODIES)
        headers = {key: luck.choice(AFTER) for key in ("retry-after", "retry-after-ms", "x-amzn-errortype", "date")}
        error = CHATS[name].parse_error(luck.choice((0, 100, 200, 400, 401, 404, 429, 500, 529, 999)), headers, body)
        assert isinstance(error, ProviderError) and error.message
        for other in CHATS.values():
            assert other.render_error(error).body


@pytest.mark.parametrize("text", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000, b'{"model":' + b'{"a":' * 100_000])
@every_chat
def test_nesting_without_end_is_refused(name: str, text: bytes) -> None:
    dialect = CHATS[name]
    for act in (lambda: dialect.parse_request(text, "/v1/models/m:generateContent"), lambda: dialect.parse_response(text)):
        with pytest.raises(HeadgateError):
            act()
    assert tolerant(lambda: dialect.stream_decoder().feed(b"data: " + text + b"\n\n")) in (None, [])


def test_text_that_no_json_can_hold_is_an_error_of_ours() -> None:
    deep = nested(5000)
    for bad in ("\ud800", deep):
        with pytest.raises(WireError) as caught:
            encode(bad)
        assert caught.value.fault == "local"


# Streams


def stream_of(dialect: ChatDialect) -> bytes:
    encoder = dialect.stream_encoder(CONTEXT)
    return b"".join(map(encoder.render_event, samples.EVENTS)) + encoder.close()


def spoil_frames(name: str, data: bytes, luck: random.Random, keys: list[str]) -> bytes:
    frames = []
    for frame in FrameDecoder().feed(data):
        headers, payload = dict(frame.headers), frame.payload
        if luck.random() < 0.3:
            wire = decode(payload)
            if name == "bedrock_anthropic" and isinstance(wire.get("bytes"), str):
                inner = written(spoil(decode(b64decode(wire["bytes"])), luck, keys), luck)
                payload = encode({**wire, "bytes": b64encode(inner).decode()})
            else:
                payload = written(spoil(wire, luck, keys), luck)
        if luck.random() < 0.05:
            headers[luck.choice(list(headers))] = luck.choice(("", "exception", "chunk", b"x", True, 5))
        frames.append(encode_frame(headers, payload))
    return b"".join(jumbled(frames, luck))


def spoil_lines(data: bytes, luck: random.Random, keys: list[str]) -> bytes:
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        head, brace, rest = line.partition(b"{")
        if brace and luck.random() < max(0.05, 3 / len(lines)):
            value = tolerant(decode, b"{" + rest)
            lines[number] = line if value is None else head + written(spoil(value, luck, keys), luck)
    odd = luck.choice(
        (b"data: {}", b"data: null", b"data: \xff", b"data:", b"event: error", b"{}", b"{", b"\0", b"data: [DONE]", b"id: \0")
    )
    if luck.random() < 0.2:
        lines.insert(luck.randrange(len(lines)), odd)
    return b"\n".join(jumbled(lines, luck))


def jumbled(parts: list[bytes], luck: random.Random) -> list[bytes]:
    what = luck.random()
    if what < 0.1:
        luck.shuffle(parts)
    elif what < 0.2:
        del parts[luck.randrange(len(parts))]
    elif what < 0.3:
        parts.insert(luck.randrange(len(parts)), luck.choice(parts))
    elif what < 0.4:
        parts[-1] = parts[-1][: len(parts[-1]) // 2]
    return parts


def heard(dialect: ChatDialect, data: bytes, size: int) -> tuple[list[StreamEvent], type[HeadgateError] | None]:
    """The events of a stream cut into pieces, and how it ended."""
    decoder, events = dialect.stream_decoder(), []
    try:
        for start in range(0, len(data), size):
            events += decoder.feed(data[start : start + size])
        events += decoder.close()
    except HeadgateError as error:
        return events, type(error)
    return events, None


def attack_streams(name: str, streams: list[bytes], luck: random.Random) -> None:
    dialect, keys = CHATS[name], ["delta", "index", "message", "usage", "content", "item", "type", "id"]
    for _ in range(ROUNDS):
        stream = luck.choice(streams)
        data = spoil_frames(name, stream, luck, keys) if name in FRAMED else spoil_lines(stream, luck, keys)
        events, ending = heard(dialect, data, len(data) or 1)
        assert heard(dialect, data, luck.randrange(1, 200))[1] == ending
        fold = Fold(dialect.name)
        fold.add_all(events)
        assert fold.response() == fold.response()
        for other in CHATS.values():
            encoder = other.stream_encoder(CONTEXT)
            for event in events:
                tolerant(encoder.render_event, event)
            tolerant(encoder.close)
            tolerant(other.render_response, fold.response())


@every_chat
@settings(max_examples=12, derandomize=True, deadline=None)
@given(seeds)
def test_a_spoilt_stream_is_heard_and_passed_on_or_refused(name: str, seed: int) -> None:
    attack_streams(name, [stream_of(CHATS[name])], random.Random(seed))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_at_all_are_lines_events_or_frames_or_refused(data: bytes, size: int) -> None:
    makers: list[Callable[[], Any]] = [LineDecoder, SseDecoder, FrameDecoder, *(dialect.stream_decoder for dialect in CHATS.values())]
    for make in makers:
        decoder = make()
        for start in range(0, len(data), size):
            if tolerant(decoder.feed, data[start : start + size]) is None:
                break
        tolerant(decoder.close)


MANY = 5000
"""With work that grows with the square of it, what follows would take minutes."""


def many_calls() -> list[StreamEvent]:
    grown = [event for n in range(MANY) for event in (BlockStart(n, ToolCall(f"c{n}", "t")), Delta(n, "{}"), BlockStop(n))]
    return [Start("a", "m", 1), *grown, Finished(Finish.TOOL_CALLS)]


def calls_at_once() -> list[StreamEvent]:
    begun: list[StreamEvent] = [BlockStart(n, ToolCall(f"c{n}", "t")) for n in range(MANY)]
    told: list[StreamEvent] = [event for n in reversed(range(MANY)) for event in (Delta(n, "{}"), BlockStop(n))]
    return [Start("a", "m", 1), *begun, *told, Finished(Finish.TOOL_CALLS)]


@pytest.mark.parametrize("events", [many_calls(), calls_at_once()], ids=["in turn", "at once"])
@every_chat
def test_thousands_of_calls_in_one_stream_are_no_burden(name: str, events: list[StreamEvent]) -> None:
    encoder = CHATS[name].stream_encoder(CONTEXT)
    data = b"".join(map(encoder.render_event, events)) + encoder.close()
    if data and name != "openai_completions":
        found, ending = heard(CHATS[name], data, 1 << 16)
        assert ending is None and sum(type(event) is BlockStart for event in found) == MANY


@every_chat
def test_thousands_of_calls_and_results_in_one_request_are_no_burden(name: str) -> None:
    calls = Message("assistant", tuple(ToolCall(f"c{n}", "get_time", "{}") for n in range(MANY)))
    results = Message("tool", tuple(ToolResult(f"c{n}", (Text("12"),), "get_time") for n in reversed(range(MANY))))
    request = msgspec.structs.replace(samples.TOOLS, messages=(user_message("?"), calls, results))
    rendered = tolerant(CHATS[name].render_request, request, ANY_MODEL)
    if rendered is not None:
        assert CHATS[name].parse_request(encode(rendered.payload), rendered.path).messages


# Embeddings and counting

EMBEDS: tuple[EmbedDialect, ...] = tuple(
    module.DIALECT for module in (embed_openai, embed_gemini, embed_vertex, embed_bedrock, embed_ollama)
)
VECTORS: list[Any] = [
    {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}], "model": "m", "usage": {"prompt_tokens": 1}},
    {"data": [{"index": 0, "embedding": "AAAAPw=="}], "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}},
    {"embeddings": [{"values": [0.5]}, {"values": [1]}]},
    {"embedding": {"values": [0.5]}},
    {"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": 1, "truncated": False}}}]},
    {"embedding": [0.5], "inputTextTokenCount": 1, "embeddingsByType": {"float": [0.5]}},
    {"embeddings": {"float": [[0.5]]}, "id": "a", "texts": ["a"]},
    {"model": "m", "embeddings": [[0.5]], "total_duration": 1, "prompt_eval_count": 1},
]


@pytest.mark.parametrize("dialect", EMBEDS, ids=lambda dialect: dialect.name)
@settings(max_examples=16, derandomize=True, deadline=None)
@given(seeds)
def test_embeddings_are_read_and_passed_on_or_refused(dialect: EmbedDialect, seed: int) -> None:
    luck = random.Random(seed)
    asked = [EmbedRequest(model="amazon.titan-embed-text-v2:0", inputs=("a",)), EmbedRequest(model="m", inputs=("a", "b"))]
    bodies = [found for one in asked if (found := tolerant(dialect.render_request, one, ANY_MODEL)) is not None]
    for _ in range(ROUNDS):
        rendered = luck.choice(bodies)
        wire = decode(encode(rendered.payload))
        request = tolerant(dialect.parse_request, written(spoil(wire, luck, known_keys([wire])), luck), rendered.path)
        headers = {"x-amzn-bedrock-input-token-count": luck.choice(("1", "x", "9" * 5000, "²"))}
        answer = tolerant(dialect.parse_response, written(spoil(luck.choice(VECTORS), luck, known_keys(VECTORS)), luck), headers)
        for other in EMBEDS:
            if request is not None and (again := tolerant(other.render_request, request, ANY_MODEL)) is not None:
                tolerant(encode, again.payload)
            if answer is not None:
                tolerant(other.render_response, answer, asked[0])
        error = dialect.parse_error(500, {}, written(spoil(luck.choice(ERRORS), luck, known_keys(ERRORS)), luck))
        assert dialect.render_error(error).body


@pytest.mark.parametrize("dialect", [counting.ANTHROPIC, counting.GEMINI, counting.VERTEX], ids=lambda dialect: dialect.name)
@settings(max_examples=16, derandomize=True, deadline=None)
@given(seeds)
def test_counts_are_read_or_refused(dialect: counting.CountDialect, seed: int) -> None:
    luck = random.Random(seed)
    rendered = [dialect.render_request(request, ANY_MODEL) for request in (samples.SYSTEM, samples.TOOL_LOOP)]
    for _ in range(ROUNDS):
        one = luck.choice(rendered)
        wire = decode(encode(one.payload))
        tolerant(dialect.parse_request, written(spoil(wire, luck, known_keys([wire])), luck), one.path)
        answer = {"input_tokens": 1, "totalTokens": 1}
        found = tolerant(dialect.parse_response, written(spoil(answer, luck, ["a"]), luck))
        assert found is None or found >= 0


# Batches

BATCHES: tuple[BatchDialect, ...] = (
    batch_openai_files.DIALECT,
    batch_flavours.BATCH_TOGETHER,
    batch_anthropic.DIALECT,
    batch_gemini.DIALECT,
    batch_gemini.INLINE,
    batch_xai.DIALECT,
    batch_xai.BY_FILE,
    batch_bedrock.DIALECT,
)
every_batch = pytest.mark.parametrize("dialect", BATCHES, ids=lambda dialect: dialect.name)
HANDLE = BatchHandle("batches/b1", "files/f1", 1.0)
VARIABLES = {"batch_bucket": "s3://bucket/place", "batch_role": "arn:aws:iam::1:role/r"}
TAG = BatchTag("hg-1", "r-1", "m", "/v1/chat/completions", "boundary-0123456789", variables=VARIABLES)
JOBS: list[Any] = [
    {
        "id": "b1",
        "status": "completed",
        "created_at": 5,
        "expires_at": 6,
        "metadata": {"headgate": "hg-1"},
        "input_file_id": "f1",
        "output_file_id": "f2",
        "error_file_id": "f3",
        "request_counts": {"total": 2, "completed": 1, "failed": 1},
        "errors": {"data": [{"code": "a", "message": "b", "line": 1}]},
    },
    {
        "id": "msgbatch_1",
        "processing_status": "ended",
        "created_at": "2026-01-01T00:00:00Z",
        "results_url": "https://x/v1/messages/",
        "request_counts": {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0},
    },
    {
        "name": "batches/b1",
        "done": True,
        "response": {"responsesFile": "files/f2"},
        "metadata": {"state": "BATCH_STATE_SUCCEEDED", "createTime": "2026-01-01T00:00:00Z", "batchStats": {"requestCount": "2"}},
    },
    {
        "batch_id": "b1",
        "name": "hg-1",
        "create_time": "2026-01-01T00:00:00Z",
        "expire_time": "2026-01-02T00:00:00Z",
        "state": {"num_requests": 2, "num_pending": 0, "num_success": 1, "num_error": 1, "num_cancelled": 0},
    },
    {
        "jobArn": "arn:aws:bedrock:r:1:model-invocation-job/j1",
        "status": "Completed",
        "jobName": "hg-1",
        "submitTime": 5,
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
        "totalRecordCount": 2,
        "successRecordCount": 2,
    },
]
LISTS: list[Any] = [
    {"data": JOBS[:2], "has_more": True, "last_id": "msgbatch_1"},
    {"operations": JOBS[2:3], "nextPageToken": "t"},
    {"batches": JOBS[3:4], "pagination_token": "t"},
    {"results": [{"batch_request_id": "a"}], "pagination_token": "t"},
    {"invocationJobSummaries": JOBS[4:], "nextToken": "t"},
    {"id": "f1", "filename": "hg-1.jsonl", "file": {"name": "files/f1"}},
    JOBS,
]
XML = (
    b"<R><IsTruncated>true</IsTruncated><NextContinuationToken>a</NextContinuationToken><Key>place/../../etc/x.jsonl.out</Key></R>",
    b"<R><Key>out/j1/rows.jsonl.out</Key><Key>out/j1/manifest.json.out</Key></R>",
    b'<!DOCTYPE a [<!ENTITY b "%b"><!ENTITY c "&b;&b;">]><Error><Code>&c;</Code></Error>' % (b"x" * 1000),
    b"<Key>&#%b;</Key>" % (b"9" * 5000),
)


def answered(flow: Flow[Any], folder: Path, reply: Callable[[Call], Reply], most: int = 40) -> Any:
    """Drive a flow with replies; after `most` calls it is given up, since a wire may ask for thousands of pages."""
    try:
        call = next(flow)
        for _ in range(most):
            if not isinstance(call, Save):
                assert call.path.startswith("/") and call.path.isascii() and call.path.isprintable() and " " not in call.path, call.path
            answer: Answer = Stored(200, {}, str(folder / "kept"), 1) if isinstance(call, Save | Download) else reply(call)
            call = flow.send(answer)
    except StopIteration as stop:
        return stop.value
    finally:
        flow.close()
    return None


def odd_reply(luck: random.Random) -> Callable[[Call], Reply]:
    keys = known_keys([JOBS, LISTS])

    def reply(call: Call) -> Reply:
        body = luck.choice(XML) if luck.random() < 0.1 else written(spoil(luck.choice((*JOBS, *LISTS)), luck, keys), luck)
        date = luck.choice(("Mon, 01 Jan 99999999999 00:00:00 GMT", "Sat, 21 Nov 2026 10:00:00 GMT", "", "x"))
        return Reply(luck.choice((200, 200, 200, 400, 404, 500)), {"date": date, "x-goog-upload-url": "/up"}, body)

    return reply


@every_batch
@settings(max_examples=15, derandomize=True, deadline=None)
@given(seeds)
def test_a_batch_survives_whatever_is_answered(dialect: BatchDialect, seed: int) -> None:
    luck = random.Random(seed)
    rows = BatchRows(tuple(BatchRequestRow(f"r-1-{n}", TAG.endpoint, b'{"model":"m"}') for n in range(100)))
    for _ in range(6):
        reply, folder = odd_reply(luck), Path("downloads")
        tolerant(answered, dialect.submit(TAG, rows), folder, reply)
        state = tolerant(answered, dialect.status(HANDLE), folder, reply)
        tolerant(answered, dialect.cancel(HANDLE), folder, reply)
        for candidate in tolerant(answered, dialect.find(TAG, 0.0), folder, reply) or ():
            tolerant(answered, dialect.status(candidate.handle), folder, reply)
        if state is not None:
            assert all(number is None or number >= 0 for number in (state.total, state.succeeded, state.failed))
            for file in tolerant(answered, dialect.results(HANDLE, state), folder, reply) or ():
                assert Path(file.path) == folder / "kept"


@pytest.mark.parametrize("identifier", ["../../files/other", "a/b", "a?b=c", "a#b", "a\r\nx: y", "https://evil.example/x", "ü", "%2f", " "])
@every_batch
def test_an_id_stays_one_part_of_a_path_on_the_providers_own_host(dialect: BatchDialect, identifier: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(call: Call) -> Reply:
        asked.append(call.path)
        return Reply(404, {}, b"{}")

    tolerant(answered, dialect.status(BatchHandle(identifier)), tmp_path, reply)
    for path in asked:
        assert identifier not in path and not {"..", "."} & set(path.split("?")[0].split("/")) and "#" not in path


@every_batch
def test_a_list_that_never_ends_is_given_up(dialect: BatchDialect, tmp_path: Path) -> None:
    numbers = count()

    def reply(call: Call) -> Reply:
        n = next(numbers)
        page = {"data": [{"id": f"b{n}", "filename": "hg-1.jsonl", "input_file_id": "b0"}], "has_more": True, "last_id": f"b{n}"}
        tokens = {"operations": [], "batches": [], "nextPageToken": f"t{n}", "pagination_token": f"t{n}", "nextToken": f"t{n}"}
        return Reply(200, {}, encode({**page, **tokens, "invocationJobSummaries": [], "filename": "hg-1.jsonl"}))

    with pytest.raises(WireError, match="did not end"):
        answered(dialect.find(TAG, 0.0), tmp_path, reply, most=100_000)


def test_a_page_that_names_itself_is_not_read_again(tmp_path: Path) -> None:
    page = encode({"results": [{"batch_request_id": "a"}], "pagination_token": "t"})
    state = batch_xai.parse_state(JOBS[3])
    with pytest.raises(WireError, match="names itself"):
        answered(batch_xai.DIALECT.results(BatchHandle("b1"), state), tmp_path, lambda call: Reply(200, {}, page))


ROWS: list[Any] = [
    {"custom_id": "a", "response": {"status_code": 200, "request_id": "r", "body": {"id": "x"}}, "error": None},
    {"custom_id": "a", "error": {"code": "batch_expired", "message": "late"}},
    {"custom_id": "a", "result": {"type": "succeeded", "message": {"id": "x"}}},
    {"custom_id": "a", "result": {"type": "errored", "error": {"type": "error", "error": {"type": "api_error", "message": "no"}}}},
    {"key": "a", "response": {"candidates": []}, "error": {"code": 3, "message": "no"}},
    {"name": "batches/b", "metadata": {"output": {"inlinedResponses": {"inlinedResponses": [{"metadata": {"key": "a"}, "response": {}}]}}}},
    {"batch_request_id": "a", "batch_result": {"response": {"chat_get_completion": {"id": "x"}}, "error": {"code": 4, "message": "no"}}},
    {"recordId": "a", "modelOutput": {"id": "x"}, "error": {"errorCode": "400", "errorMessage": "no"}},
]


@every_batch
@settings(max_examples=15, derandomize=True, deadline=None)
@given(seeds)
def test_one_bad_row_spoils_no_other(dialect: BatchDialect, seed: int) -> None:
    luck = random.Random(seed)
    lines = [written(spoil(luck.choice(ROWS), luck, known_keys(ROWS)), luck) for _ in range(ROUNDS)]
    decoder, size = dialect.row_decoder("output"), luck.randrange(1, 500)
    data = b"\n".join([b'{"custom_id":"first"}', *lines])
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
    decoder.close()


# The long sweep: recorded bodies, spoilt


def recorded(kind: str) -> Iterator[tuple[str, Any]]:
    """(dialect, exchange) of every small recording of a chat."""
    homes = {"anthropic": "anthropic_messages", "gemini": "gemini_generate", "ollama": "ollama_chat", "bedrock": "bedrock_converse"}
    for path in sorted((CORPUS / "core").glob("*/*/*.json")):
        provider, surface = path.parts[-3:-1]
        exchange = json.loads(path.read_bytes()) if path.stat().st_size < 40_000 else {}
        name = homes.get(provider) or ("openai_responses" if "responses" in surface else "openai_chat")
        name = "bedrock_anthropic" if "invoke" in surface else name
        if (exchange.get(kind) or {}) and "batch" not in surface and "embed" not in surface:
            yield name, exchange[kind]


@pytest.mark.corpus
@pytest.mark.proofs
@pytest.mark.skipif(not CORPUS.exists(), reason="the recorded traffic is not here")
@pytest.mark.parametrize("seed", range(4))
def test_recorded_bodies_spoilt_a_hundred_thousand_times(seed: int, record_property: Callable[[str, object], None]) -> None:
    luck, spoilt = random.Random(seed), 0
    for name, request in recorded("request"):
        if isinstance(request.get("body"), dict):
            attack_requests(CHATS[name], [(request["body"], request.get("path") or "")], luck)
            spoilt += ROUNDS
    for name, response in recorded("response"):
        if isinstance(response.get("body"), dict):
            attack_answers(CHATS[name], [response["body"]], luck)
            spoilt += ROUNDS
        if response.get("sse_raw"):
            attack_streams(name, [response["sse_raw"].encode()], luck)
            spoilt += ROUNDS
    record_property("spoilt bodies", spoilt)
    assert spoilt > 10_000
