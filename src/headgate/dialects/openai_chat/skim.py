"""The account of a whole answer in one typed pass: who answered, how it ended and what it counted, without the words.

Only what the records here name is taken for known. An answer that says more, or says it otherwise, gives None and is read whole.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from headgate.dialects.openai_chat.words import FINISH, NAME
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Inside(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    cached_tokens: _Count = 0
    audio_tokens: _Count = 0


class _Outside(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    reasoning_tokens: _Count = 0
    audio_tokens: _Count = 0
    accepted_prediction_tokens: _Count = 0
    rejected_prediction_tokens: _Count = 0


class _Usage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _Inside | None = None
    completion_tokens_details: _Outside | None = None


class _Message(msgspec.Struct, gc=False):
    tool_calls: list[msgspec.Raw] | None = None
    function_call: msgspec.Raw | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: str
    native_finish_reason: None = None


class _Answer(msgspec.Struct, gc=False):
    choices: tuple[_Choice]
    usage: _Usage
    id: str = ""
    model: str = ""
    service_tier: str | None = None
    error: None = None


_decode = msgspec.json.Decoder(_Answer).decode
_NOTHING_INSIDE = _Inside()
_NOTHING_OUTSIDE = _Outside()
_FINISHED = {word: (Choice(finish=finish, native_finish=word),) for word, finish in FINISH.items()}


def skim(body: bytes) -> Response | None:
    """The account of a usual answer of one choice; None for any other. `Response.choices` has no content."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    choice, counted = answer.choices[0], answer.usage
    called = choice.message.tool_calls or choice.message.function_call
    finished = _FINISHED.get(choice.finish_reason)
    if finished is None or (called and finished[0].finish is Finish.STOP):
        return None
    usage = _usage(counted)
    if usage is None:
        return None
    return Response(id=answer.id, model=answer.model, choices=finished, usage=usage, service_tier=answer.service_tier, dialect=NAME)


def plain_usage(usage: Usage) -> Usage:
    """`usage` without the provider's own object, where that says nothing besides the buckets."""
    try:
        found = _usage(msgspec.convert(usage.native, _Usage))
    except msgspec.ValidationError:
        return usage
    return found if found == msgspec.structs.replace(usage, native=None) else usage


def _usage(counted: _Usage) -> Usage | None:
    """The buckets, where the counts fit into one another."""
    prompt, completion = counted.prompt_tokens, counted.completion_tokens
    inside, outside = counted.prompt_tokens_details or _NOTHING_INSIDE, counted.completion_tokens_details or _NOTHING_OUTSIDE
    plain = prompt - inside.cached_tokens - inside.audio_tokens
    text = completion - outside.reasoning_tokens - outside.audio_tokens
    if counted.total_tokens != prompt + completion or plain < 0 or text < 0:
        return None
    return Usage(
        input_uncached=plain,
        cache_read=inside.cached_tokens,
        input_audio=inside.audio_tokens,
        output_text=text,
        output_reasoning=outside.reasoning_tokens,
        output_audio=outside.audio_tokens,
    )
