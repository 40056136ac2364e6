"""Ollama's native API below ``/ollama/api``: answers, streams and the listing of models (recorded traffic; Ollama API reference).

Streams are lines of JSON and are the rule; a repeated prompt is not evaluated again and then has no ``prompt_eval_count``.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headgate.sim import ollama_wire, openai_embeddings, openai_flavours, openai_wire, tokens, vectors
from headgate.sim.bill import Tokens
from headgate.sim.clock import iso
from headgate.sim.dice import BASE36, digest
from headgate.sim.exchange import Answer, Problem, answer_json, need_list
from headgate.sim.models import MODELS
from headgate.sim.ollama_wire import LATEST, Wanted
from headgate.sim.openai_flavours import Flavour, without
from headgate.sim.openai_wire import Done
from headgate.sim.prefixes import SHORT_LIFE
from headgate.sim.responder import Reply
from headgate.sim.world import Call, Route, Wire, World
from headgate.wire.json import Json, JsonObject, encode, encode_text

NDJSON = "application/x-ndjson"
UTF8 = "application/json; charset=utf-8"
VERSION = "0.33.2"
DIMENSIONS = 768
MODEL_WINDOW = 131_072
NANOS_PER_TOKEN = 20_000_000
_DONE = {"length": "length"}


class Said(msgspec.Struct, frozen=True):
    """An executed request. `cached` says that the prompt was not evaluated again."""

    wanted: Wanted
    reply: Reply
    cached: bool
    at: str
    calls: tuple[JsonObject, ...]

    @property
    def head(self) -> JsonObject:
        """What every line begins with."""
        return {"model": self.wanted.named, "created_at": self.at}


def _execute(call: Call, wanted: Wanted) -> Said:
    memory, ask = call.world.prefixes, wanted.ask
    prompt = encode_text([ask.texts, ask.tools, ask.images])
    cached = memory.known(call.account, ask.model, prompt, call.now)
    if wanted.keep and not cached:
        memory.learn(call.account, ask.model, prompt, call.now)
    reply = call.reply(ask)
    spent = Tokens(input=0 if cached else wanted.prompt, output=reply.output, reasoning=reply.reasoning)
    call.charge(ask.model, spent, call.request_id)
    return Said(wanted, reply, cached, iso(call.now, "Z"), tuple(_calls(call, reply)))


def _calls(call: Call, reply: Reply) -> Iterator[JsonObject]:
    for index, made in enumerate(reply.calls):
        function = {"index": index, "name": made.name, "arguments": made.arguments}
        yield {"id": call.world.new_id("call_", 8, BASE36), "function": function}


def _figures(said: Said) -> JsonObject:
    """Why it ended, and the counts with the nanoseconds they took."""
    made = said.reply.output + said.reply.reasoning
    read = (
        {} if said.cached else {"prompt_eval_count": said.wanted.prompt, "prompt_eval_duration": said.wanted.prompt * NANOS_PER_TOKEN // 20}
    )
    spent = {"eval_count": made, "eval_duration": made * NANOS_PER_TOKEN}
    total = spent["eval_duration"] + read.get("prompt_eval_duration", 0) + NANOS_PER_TOKEN
    finish = _DONE.get(said.reply.finish, "stop")
    return {"done_reason": finish, "done": True, "total_duration": total, "load_duration": NANOS_PER_TOKEN, **read, **spent}


def chat(call: Call) -> Answer:
    """``POST /api/chat``; without messages the model is only loaded, or unloaded with ``keep_alive: 0``."""
    wanted = ollama_wire.parse_chat(call.json())
    if not wanted.ask.texts:
        return _loaded(call, wanted, {"message": {"role": "assistant", "content": ""}})
    said = _execute(call, wanted)
    if wanted.stream:
        return _lines([*_chat_lines(said), {**said.head, "message": {"role": "assistant", "content": ""}, **_figures(said)}])
    message: JsonObject = {"role": "assistant", "content": said.reply.text}
    if said.reply.thinking:
        message["thinking"] = said.reply.thinking
    if said.calls:
        message["tool_calls"] = list(said.calls)
    return answer_json({**said.head, "message": message, **_figures(said)}, content_type=UTF8)


def _loaded(call: Call, wanted: Wanted, empty: JsonObject) -> Answer:
    head = {"model": wanted.named, "created_at": iso(call.now, "Z")}
    return answer_json({**head, **empty, "done_reason": "load" if wanted.keep else "unload", "done": True}, content_type=UTF8)


def _lines(lines: list[JsonObject]) -> Answer:
    return Answer(events=tuple(encode(line) + b"\n" for line in lines), content_type=NDJSON)


def _chat_lines(said: Said) -> Iterator[JsonObject]:
    for piece in tokens.pieces(said.reply.thinking):
        yield {**said.head, "message": {"role": "assistant", "content": "", "thinking": piece}, "done": False}
    for piece in tokens.pieces(said.reply.text):
        yield {**said.head, "message": {"role": "assistant", "content": piece}, "done": False}
    for made in said.calls:
        yield {**said.head, "message": {"role": "assistant", "content": "", "tool_calls": [made]}, "done": False}


def generate(call: Call) -> Answer:
    """``POST /api/generate``; without a prompt the model is only loaded or unloaded."""
    body = call.json()
    wanted = ollama_wire.parse_generate(body)
    if not body.get("prompt"):
        return _loaded(call, wanted, {"response": ""})
    said = _execute(call, wanted)
    last = {"context": _context(said), **_figures(said)}
    if wanted.stream:
        thoughts = [{**said.head, "response": "", "thinking": piece, "done": False} for piece in tokens.pieces(said.reply.thinking)]
        texts = [{**said.head, "response": piece, "done": False} for piece in tokens.pieces(said.reply.text)]
        return _lines([*thoughts, *texts, {**said.head, "response": "", **last}])
    thinking = {"thinking": said.reply.thinking} if said.reply.thinking else {}
    return answer_json({**said.head, "response": said.reply.text, **thinking, **last}, content_type=UTF8)


def _context(said: Said) -> list[Json]:
    """Token numbers of prompt and answer, to be sent back with a follow-up."""
    raw = "".join((*said.wanted.ask.texts, said.reply.text)).encode()
    step = tokens.BYTES_PER_TOKEN
    return [int.from_bytes(raw[at : at + step], "big") % 128_000 for at in range(0, len(raw), step)]


def embed(call: Call) -> Answer:
    """``POST /api/embed``: one text or several; one longer than the window is cut, or refused with ``truncate: false``."""
    body = call.json()
    value = body.get("input")
    texts = [value] if isinstance(value, str) else [str(text) for text in need_list(value, "input")]
    size = body.get("dimensions") or DIMENSIONS
    if not isinstance(size, int) or not 1 <= size <= DIMENSIONS:
        raise Problem("bad_request", f"dimensions must be between 1 and {DIMENSIONS}")
    made, total = _embedded(call, body, texts, size)
    times = {"total_duration": total * NANOS_PER_TOKEN, "load_duration": NANOS_PER_TOKEN, "prompt_eval_count": total}
    return answer_json({"model": body["model"], "embeddings": made, **times}, content_type=UTF8)


def embed_old(call: Call) -> Answer:
    """``POST /api/embeddings``, the older form: one prompt, one vector."""
    body = call.json()
    made, _ = _embedded(call, body, [str(body.get("prompt") or "")], DIMENSIONS)
    return answer_json({"embedding": made[0]}, content_type=UTF8)


def _embedded(call: Call, body: JsonObject, texts: list[str], size: int) -> tuple[list[list[float]], int]:
    """Vectors of `texts`, and the tokens they cost, which are put on the bill."""
    model, window = ollama_wire.model_of(body), ollama_wire.window_of(body)
    counts = [tokens.count(text) for text in texts]
    if body.get("truncate") is False and max(counts, default=0) > window:
        raise Problem("context_length")
    total = sum(min(count, window) for count in counts)
    call.charge(model, Tokens(input=total), call.request_id)
    return [vectors.vector(tokens.cut(text, window), size) for text in texts], total


def _details() -> JsonObject:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    }


def _listed(name: str) -> JsonObject:
    return {
        "name": name + LATEST,
        "model": name + LATEST,
        "size": 2_019_393_189,
        "digest": digest("model", name).hex(),
        "details": _details(),
    }


def tags(call: Call) -> Answer:
    """``GET /api/tags``."""
    listed = [{**_listed(name), "modified_at": "2026-01-15T00:00:00.000000000Z"} for name in MODELS]
    return answer_json({"models": listed}, content_type=UTF8)


def running(call: Call) -> Answer:
    """``GET /api/ps``: the models asked in the last five minutes."""
    used: dict[str, float] = {}
    for entry in call.world.journal:
        if entry.provider == call.provider and entry.model and entry.status == 200 and entry.operation != "models":
            used[entry.model.removesuffix(LATEST)] = entry.time
    fresh = {name: at + SHORT_LIFE for name, at in used.items() if at + SHORT_LIFE > call.now}
    window = {"size_vram": 2_019_393_189, "context_length": ollama_wire.DEFAULT_WINDOW}
    listed = [{**_listed(name), **window, "expires_at": iso(until, "Z")} for name, until in fresh.items()]
    return answer_json({"models": listed}, content_type=UTF8)


def show(call: Call) -> Answer:
    """``POST /api/show``."""
    name = ollama_wire.model_of(call.json())
    info = {
        "general.architecture": "llama",
        "general.basename": name,
        "general.parameter_count": 3_212_749_888,
        "general.type": "model",
        "llama.context_length": MODEL_WINDOW,
        "llama.embedding_length": DIMENSIONS,
    }
    body = {
        "license": "",
        "modelfile": f"FROM {name}{LATEST}\n",
        "parameters": 'stop                           "<|eot_id|>"',
        "template": "{{ .System }}{{ .Prompt }}",
        "details": _details(),
        "model_info": info,
        "capabilities": ["completion", "tools", "vision", "thinking"],
        "modified_at": "2026-01-15T00:00:00.000000000Z",
    }
    return answer_json(body, content_type=UTF8)


def version(call: Call) -> Answer:
    """``GET /api/version``."""
    return answer_json({"version": VERSION}, content_type=UTF8)


def root(call: Call) -> Answer:
    """``GET /``: what a browser is told."""
    return Answer(body=b"Ollama is running", content_type="text/plain; charset=utf-8")


def _completion(call: Call, done: Done, body: JsonObject) -> JsonObject:
    for choice in body["choices"]:
        choice["message"] = without(choice["message"], "refusal", "annotations")
    return {**without(body, "service_tier"), "system_fingerprint": "fp_ollama"}


def _chunks(call: Call, done: Done, made: Iterator[JsonObject]) -> Iterator[JsonObject]:
    for chunk in openai_flavours.with_whole_calls(done, made):
        yield {**without(chunk, "service_tier"), "system_fingerprint": "fp_ollama"}


def _new_id(world: World) -> str:
    return world.new_id("chatcmpl-", 3, "0123456789")


COMPATIBLE = Flavour(openai_flavours.plain_usage, _completion, _chunks, _new_id, reasoning="reasoning")

WIRE = Wire(
    name="ollama",
    routes=(
        Route("POST", "/api/chat", "chat", chat, chat=True, streams=True),
        Route("POST", "/api/generate", "chat", generate, chat=True, streams=True),
        Route("POST", "/api/embed", "embed", embed),
        Route("POST", "/api/embeddings", "embed", embed_old),
        Route("GET", "/api/tags", "models", tags),
        Route("GET", "/api/ps", "models", running),
        Route("POST", "/api/show", "models", show),
        Route("GET", "/api/version", "models", version),
        Route("POST", "/v1/chat/completions", "chat", openai_flavours.chat_as(COMPATIBLE), chat=True),
        Route("POST", "/v1/embeddings", "embed", openai_embeddings.embeddings),
        Route("GET", "/v1/models", "models", openai_wire.models),
        Route("GET", "/", "models", root),
    ),
    authenticate=ollama_wire.authenticate,
    refuse=ollama_wire.refuse,
    stream_error=ollama_wire.stream_error,
    request_id_header="",
    request_id_prefix="",
    uuids=True,
)
