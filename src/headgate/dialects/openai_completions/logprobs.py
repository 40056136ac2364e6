"""Log probabilities: this wire's parallel lists to the domain's list of tokens (OpenAI's chat shape), and back.

``{"tokens": [], "token_logprobs": [], "top_logprobs": [{token: logprob}], "text_offset": []}`` (OpenAI API reference, "Completions").
"""

from __future__ import annotations

from itertools import accumulate

from headgate.wire.json import Json, JsonObject


def parse_logprobs(value: Json) -> JsonObject | None:
    """Tokens with their log probability and alternatives; None for what has no list of tokens."""
    if not isinstance(value, dict) or not isinstance(value.get("tokens"), list):
        return None
    tokens = value["tokens"]
    chances, tops = _row(value, "token_logprobs", len(tokens)), _row(value, "top_logprobs", len(tokens))
    return {"content": [_entry(token, chance, top) for token, chance, top in zip(tokens, chances, tops, strict=True)]}


def _row(value: JsonObject, key: str, length: int) -> list[Json]:
    found = value.get(key)
    return found if isinstance(found, list) and len(found) == length else [None] * length


def _entry(token: Json, chance: Json, top: Json) -> JsonObject:
    others = top if isinstance(top, dict) else {}
    return {**_token(token, chance), "top_logprobs": [_token(word, number) for word, number in others.items()]}


def _token(token: Json, chance: Json) -> JsonObject:
    word = token if isinstance(token, str) else ""
    return {"token": word, "logprob": chance, "bytes": list(word.encode("utf-8", "replace"))}


def render_logprobs(value: Json, start: int = 0) -> JsonObject | None:
    """The lists for tokens in the domain's shape, the text beginning at character `start`; None for another shape."""
    items = value.get("content") if isinstance(value, dict) else None
    if not isinstance(items, list):
        return None
    items = [item for item in items if isinstance(item, dict)]
    tokens = [_word(item) for item in items]
    tops = [{_word(one): one.get("logprob") for one in _alternatives(item)} for item in items]
    return {
        "tokens": tokens,
        "token_logprobs": [item.get("logprob") for item in items],
        "top_logprobs": tops if any(tops) else None,
        "text_offset": list(accumulate(map(len, tokens[:-1]), initial=start)) if tokens else [],
    }


def _word(entry: JsonObject) -> str:
    word = entry.get("token")
    return word if isinstance(word, str) else ""


def _alternatives(entry: JsonObject) -> list[JsonObject]:
    found = entry.get("top_logprobs")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
