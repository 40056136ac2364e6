"""OpenAI embeddings as api.openai.com speaks them (recorded traffic; OpenAI API reference)."""

from __future__ import annotations

from base64 import b64encode

import msgspec

from headgate.sim import tokens, vectors
from headgate.sim.bill import Tokens
from headgate.sim.exchange import Answer, Problem, answer_json
from headgate.sim.models import is_unknown
from headgate.sim.world import Call
from headgate.wire.json import Json, JsonObject

MAX_INPUTS = 2048
MAX_TOKENS = 8192
MAX_DIMENSIONS = 3072
DIMENSIONS = 1536


class Texts(msgspec.Struct, frozen=True):
    """What is to be embedded: a text for each input (tokens are spelled out), and what each costs."""

    texts: tuple[str, ...]
    tokens: tuple[int, ...]


def read_inputs(value: Json) -> Texts:
    """A string, a list of strings, a list of tokens, or a list of token lists. Raises `Problem` for anything else."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and value and all(type(item) is int for item in value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise _invalid("'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.")
    if len(value) > MAX_INPUTS:
        raise _invalid(f"Invalid 'input': maximum number of inputs is {MAX_INPUTS}, got {len(value)}.", "array_above_max_length")
    read = [_one(item, index) for index, item in enumerate(value)]
    return Texts(tuple(text for text, _ in read), tuple(count for _, count in read))


def _one(item: Json, index: int) -> tuple[str, int]:
    if isinstance(item, str) and item:
        return _fitting(item, tokens.count(item))
    if isinstance(item, list) and item and all(type(token) is int for token in item):
        return _fitting(" ".join(f"t{token}" for token in item), len(item))
    raise _invalid(f"Invalid 'input[{index}]': input cannot be an empty string.")


def _fitting(text: str, count: int) -> tuple[str, int]:
    if count > MAX_TOKENS:
        raise _invalid(f"This model's maximum context length is {MAX_TOKENS} tokens, however you requested {count} tokens.")
    return text, count


def _invalid(message: str, code: str = "", param: str = "input") -> Problem:
    return Problem("bad_request", message, code=code, param=param)


def model_of(body: JsonObject) -> str:
    """The model asked for. Raises `Problem` when there is none or it does not exist."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem("bad_request", "you must provide a model parameter")
    if is_unknown(model):
        raise Problem("model_not_found", f"The model `{model}` does not exist or you do not have access to it.")
    return model


def dimensions_of(body: JsonObject, default: int) -> int:
    """How many numbers a vector has."""
    size = body.get("dimensions")
    if size is None:
        return default
    if not isinstance(size, int) or not 1 <= size <= MAX_DIMENSIONS:
        raise _invalid(f"Invalid 'dimensions': must be between 1 and {MAX_DIMENSIONS}.", "invalid_value", "dimensions")
    return size


class Embedded(msgspec.Struct, frozen=True):
    """An executed request."""

    model: str
    data: list[JsonObject]
    prompt: int


def execute(call: Call, body: JsonObject, *, size: int | None = None) -> Embedded:
    """Embed the inputs and put them on the bill. Raises `Problem` for what cannot be embedded."""
    model = model_of(body)
    inputs = read_inputs(body.get("input"))
    wanted = body.get("encoding_format") or "float"
    if wanted not in ("float", "base64"):
        raise _invalid("Invalid value for 'encoding_format': must be 'float' or 'base64'.", "invalid_value", "encoding_format")
    length = dimensions_of(body, size or (MAX_DIMENSIONS if "large" in model else DIMENSIONS))
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vectors.vector(text, length), wanted)}
        for index, text in enumerate(inputs.texts)
    ]
    prompt = sum(inputs.tokens)
    call.charge(model, Tokens(input=prompt), call.request_id)
    return Embedded(model, data, prompt)


def _written(numbers: list[float], wanted: str) -> Json:
    return numbers if wanted == "float" else b64encode(vectors.packed(numbers)).decode()


def embeddings(call: Call) -> Answer:
    """``POST /v1/embeddings``."""
    done = execute(call, call.json())
    usage = {"prompt_tokens": done.prompt, "total_tokens": done.prompt}
    body = {"object": "list", "data": done.data, "model": done.model, "usage": usage}
    return answer_json(body, headers=(("openai-model", done.model), ("openai-version", "2020-10-01"), ("openai-processing-ms", "1")))
