"""Whole answers, read and written."""

from __future__ import annotations

from datetime import UTC, datetime

from headgate.dialects.gemini_generate.blocks import render_block
from headgate.dialects.gemini_generate.errors import classify, error_in
from headgate.dialects.gemini_generate.finish import parse_finish, render_finish
from headgate.dialects.gemini_generate.logprobs import parse_logprobs, render_logprobs
from headgate.dialects.gemini_generate.names import NAME
from headgate.dialects.gemini_generate.parts import PartReader
from headgate.dialects.gemini_generate.usage import parse_tier, parse_usage, render_usage
from headgate.dialects.gemini_generate.writer import Writer
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Block, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.wire.json import Json, JsonObject, arr, decode, encode, obj, text

_KNOWN = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})
_CHOICE_KEYS = frozenset({"content", "finishReason", "index", "logprobsResult"})
BLOCKED = "blocked"
"""Mark of a response without candidates, because the prompt was refused."""


def parse_response(body: bytes) -> Response:
    """Read one answer. Raises `WireError` for a malformed one and `ProviderError` for an error sent with status 200."""
    raw = obj(decode(body), "body")
    error = error_in(raw)
    if error is not None:
        raise classify(error, 200)
    answer_id, model = header(raw)
    reader = PartReader(answer_id)
    candidates = raw.get("candidates")
    choices = tuple(
        _parse_choice(obj(item, f"candidates[{i}]"), f"candidates[{i}]", reader)
        for i, item in enumerate(arr(candidates or [], "candidates"))
    )
    form: tuple[str, ...] = ()
    block = block_reason(raw)
    if not choices and block is not None:
        choices = (Choice(0, (), Finish.CONTENT_FILTER, block),)
        form = (BLOCKED,)
    metadata = raw.get("usageMetadata")
    usage = parse_usage(metadata)
    known = _KNOWN if usage is not None else _KNOWN - {"usageMetadata"}
    return Response(
        id=answer_id,
        model=model,
        choices=choices,
        usage=usage,
        created=parse_time(raw.get("createTime")),
        service_tier=parse_tier(metadata),
        dialect=NAME,
        extra={key: value for key, value in raw.items() if key not in known} or None,
        form=form,
    )


def header(raw: JsonObject) -> tuple[str, str]:
    """(id, model) of an answer or chunk, "" where missing."""
    answer_id, model = raw.get("responseId"), raw.get("modelVersion")
    return (
        "" if answer_id is None else text(answer_id, "responseId"),
        "" if model is None else text(model, "modelVersion"),
    )


def block_reason(raw: JsonObject) -> str | None:
    """Why the prompt was refused, if it was."""
    feedback = raw.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return reason if isinstance(reason, str) else None


def parse_time(value: Json) -> int | None:
    """Seconds since the epoch of an RFC 3339 time stamp; None for anything else."""
    moment = parse_moment(value)
    return None if moment is None else int(moment)


def parse_moment(value: Json) -> float | None:
    """As `parse_time`, with the fraction."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def content_of(candidate: JsonObject, path: str) -> list[Json]:
    """The parts of a candidate, [] where it has none. Raises `WireError` for odd shapes."""
    content = candidate.get("content")
    if content is None:
        return []
    parts = obj(content, f"{path}.content").get("parts")
    return [] if parts is None else arr(parts, f"{path}.content.parts")


def _parse_choice(raw: JsonObject, path: str, reader: PartReader) -> Choice:
    where = f"{path}.content.parts"
    parts = content_of(raw, path)
    blocks = tuple(reader.part(obj(part, f"{where}[{i}]"), f"{where}[{i}]") for i, part in enumerate(parts))
    native = native_finish(raw, path)
    finish = None if native is None else parse_finish(native, calls=any(isinstance(block, ToolCall) for block in blocks))
    extra = {key: value for key, value in raw.items() if key not in _CHOICE_KEYS}
    logprobs = parse_logprobs(raw.get("logprobsResult"))
    return Choice(choice_index(raw), blocks, finish, native, None, logprobs, extra or None, _choice_marks(raw))


def _choice_marks(raw: JsonObject) -> tuple[str, ...]:
    """What a candidate leaves out that is usually there."""
    content = raw.get("content")
    marks = ["nocontent"] if content is None else [f"no{key}" for key in ("parts", "role") if content.get(key) is None]
    return (*marks, "noindex") if "index" not in raw else tuple(marks)


def choice_index(candidate: JsonObject) -> int:
    """A candidate's place; 0 when it does not say (proto JSON leaves zeros out)."""
    index = candidate.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else 0


def native_finish(candidate: JsonObject, path: str) -> str | None:
    """The candidate's finish reason, None while there is none."""
    reason = candidate.get("finishReason")
    return None if reason is None else text(reason, f"{path}.finishReason")


def render_response(response: Response) -> bytes:
    """Write one answer of any origin. Parts the wire cannot hold (cut-off tool arguments, foreign blocks) are left out."""
    same = response.dialect == NAME
    writer = Writer(ANY_MODEL, same=same, answer=True)
    raw: JsonObject = {}
    if not (same and BLOCKED in response.form):
        raw["candidates"] = [_render_choice(choice, writer) for choice in response.choices]
    if response.usage is not None:
        raw["usageMetadata"] = usage_object(response, same=same)
    if response.model:
        raw["modelVersion"] = response.model
    if response.id:
        raw["responseId"] = response.id
    if same and response.extra:
        raw.update(response.extra)
    return encode(raw)


def usage_object(response: Response, *, same: bool) -> JsonObject:
    """The provider's own usage object if it is ours, else one made from the buckets."""
    usage = response.usage
    assert usage is not None
    if same and usage.native is not None:
        return usage.native
    return render_usage(usage, response.service_tier)


def _render_choice(choice: Choice, writer: Writer) -> JsonObject:
    marks = choice.form if writer.same else ()
    raw: JsonObject = {}
    parts = render_parts(choice.content, writer)
    if parts or "nocontent" not in marks:
        content: JsonObject = {} if "noparts" in marks and not parts else {"parts": parts}
        raw["content"] = content if "norole" in marks else {**content, "role": "model"}
    if "noindex" not in marks or choice.index:
        raw["index"] = choice.index
    if choice.finish is not None:
        own = writer.same and choice.native_finish
        raw["finishReason"] = own or render_finish(choice.finish)
    logprobs = render_logprobs(choice.logprobs)
    if logprobs is not None:
        raw["logprobsResult"] = logprobs
    if writer.same and choice.extra:
        raw.update(choice.extra)
    return raw


def render_parts(blocks: tuple[Block, ...], writer: Writer) -> list[JsonObject]:
    """Blocks as parts, those without a form on this wire left out."""
    return [part for i, block in enumerate(blocks) if (part := render_block(block, writer, f"content[{i}]")) is not None]
