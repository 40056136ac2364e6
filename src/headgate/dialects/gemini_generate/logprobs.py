"""Log probabilities: `logprobsResult` and the shape the domain keeps, ``{"content": [{"token", "logprob", "top_logprobs": […]}]}``.

The token's number, which only this wire has, is kept as `token_id` (translation case 38).
"""

from __future__ import annotations

from headgate.wire.json import Json, JsonObject


def parse_logprobs(raw: Json) -> JsonObject | None:
    """The domain's shape; None when `raw` holds no chosen candidates."""
    chosen = raw.get("chosenCandidates") if isinstance(raw, dict) else None
    if not isinstance(chosen, list):
        return None
    tops = raw.get("topCandidates")
    content = []
    for index, item in enumerate(chosen):
        entry = _entry(item)
        top = tops[index] if isinstance(tops, list) and index < len(tops) else None
        others = top.get("candidates") if isinstance(top, dict) else None
        entry["top_logprobs"] = [_entry(other) for other in others] if isinstance(others, list) else []
        content.append(entry)
    return {"content": content}


def _entry(item: Json) -> JsonObject:
    source = item if isinstance(item, dict) else {}
    token = source.get("token")
    entry: JsonObject = {
        "token": token,
        "logprob": source.get("logProbability", 0.0),
        "bytes": list(token.encode("utf-8", "replace")) if isinstance(token, str) else None,
    }
    if "tokenId" in source:
        entry["token_id"] = source["tokenId"]
    return entry


def render_logprobs(logprobs: Json) -> JsonObject | None:
    """`logprobsResult` for log probabilities in the domain's shape."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    entries = [entry for entry in content if isinstance(entry, dict)]
    return {
        "topCandidates": [{"candidates": [_candidate(top) for top in _alternatives(entry)]} for entry in entries],
        "chosenCandidates": [_candidate(entry) for entry in entries],
    }


def _alternatives(entry: JsonObject) -> list[JsonObject]:
    tops = entry.get("top_logprobs")
    return [top for top in tops if isinstance(top, dict)] if isinstance(tops, list) else []


def _candidate(entry: JsonObject) -> JsonObject:
    found = {"token": entry.get("token"), "logProbability": entry.get("logprob")}
    if "token_id" in entry:
        found["tokenId"] = entry["token_id"]
    return found
