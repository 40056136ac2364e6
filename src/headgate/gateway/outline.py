"""What routing, limits and money need to know of a request, read in one typed pass that leaves the words of the conversation unread.

A request that does not fit gives an outline that claims nothing; whoever understands the request says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import msgspec

Need: TypeAlias = Literal[
    "tools", "vision", "documents", "audio", "json_schema", "json_object", "reasoning", "logprobs", "choices", "stream", "prefill"
]

ABSENT = msgspec.Raw(b"null")
"""A field that is not there, or null, which says the same."""
_Count = Annotated[int, msgspec.Meta(ge=0)]
_LIST_TIERS = frozenset({None, "", "default", "standard", "standard_only", "flex", "on_demand"})
"""Service tiers that cost the list price, or less."""
UNREADABLE = "what it asks for could not be read"


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """The outline of a request.

    `unbounded` says why its cost has no upper bound ("" when it has one): tools the provider runs and bills, another service tier. `media`
    says that parts are not text, so that bytes say nothing of tokens. `session` is the caller's own name for a conversation. `model` is ""
    where the path or nothing names it. `directed`: the body has fields that are for the gateway alone.
    """

    model: str = ""
    stream: bool = False
    max_output: int | None = None
    choices: int = 1
    needs: frozenset[Need] = frozenset()
    unbounded: str = ""
    media: bool = False
    session: str | None = None
    directed: bool = False
    usage_asked: bool = False
    options: bool = False


class _Kind(msgspec.Struct, gc=False):
    type: str = "function"


class _Usage(msgspec.Struct, gc=False):
    include_usage: bool = False


class _Directed(msgspec.Struct, gc=False):
    model: str = ""
    stream: bool | None = None
    provider: msgspec.Raw = ABSENT
    provider_hint: msgspec.Raw = ABSENT
    routing: msgspec.Raw = ABSENT
    base_url: None = None
    api_base: None = None
    api_key: None = None
    headers: None = None
    extra_headers: None = None
    """These are refused: see `asking.DESTINATIONS`."""


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    content: msgspec.Raw = ABSENT


class _Turn(msgspec.Struct, gc=False):
    content: msgspec.Raw = ABSENT


class _Chat(_Directed, gc=False):
    messages: list[_Turn] = []
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    n: _Count | None = None
    tools: list[_Kind] | None = None
    functions: msgspec.Raw = ABSENT
    response_format: _Kind | None = None
    stream_options: _Usage | None = None
    web_search_options: msgspec.Raw = ABSENT
    logprobs: bool | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    service_tier: str | None = None
    user: str | None = None
    prompt_cache_key: str | None = None


class _Completion(_Directed, gc=False):
    max_tokens: _Count | None = None
    n: _Count | None = None
    best_of: _Count | None = None
    prompt: str | list[msgspec.Raw] = ""
    stream_options: _Usage | None = None
    user: str | None = None


class _Format(msgspec.Struct, gc=False):
    format: _Kind | None = None


class _Responses(_Directed, gc=False):
    input: msgspec.Raw = ABSENT
    max_output_tokens: _Count | None = None
    tools: list[_Kind] | None = None
    text: _Format | None = None
    reasoning: msgspec.Raw = ABSENT
    service_tier: str | None = None
    background: bool | None = None
    user: str | None = None
    prompt_cache_key: str | None = None


class _Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class _Messages(_Directed, gc=False):
    messages: list[_Turn] = []
    max_tokens: _Count | None = None
    tools: list[_Kind] | None = None
    mcp_servers: msgspec.Raw = ABSENT
    thinking: msgspec.Raw = ABSENT
    output_config: msgspec.Raw = ABSENT
    service_tier: str | None = None
    metadata: _Metadata | None = None
    container: msgspec.Raw = ABSENT
    speed: str | None = None


class _Generation(msgspec.Struct, gc=False, rename="camel"):
    max_output_tokens: _Count | None = None
    candidate_count: _Count | None = None
    response_schema: msgspec.Raw = ABSENT
    response_json_schema: msgspec.Raw = ABSENT
    response_mime_type: str | None = None
    thinking_config: msgspec.Raw = ABSENT
    response_modalities: list[str] | None = None


class _Content(msgspec.Struct, gc=False):
    parts: list[dict[str, msgspec.Raw]] = []


class _Generate(msgspec.Struct, gc=False, rename="camel"):
    contents: msgspec.Raw = ABSENT
    generation_config: _Generation | None = None
    tools: list[dict[str, msgspec.Raw]] | None = None
    service_tier: str | None = None


_FREE_TOOLS = frozenset({"function", "custom", "client"})
_CLIENT_TOOLS = ("bash_", "text_editor_", "computer_", "memory_")
"""How the types of Anthropic's tools begin that the client runs (Anthropic API reference, "Tool use")."""
_GEMINI_FREE = frozenset({"functionDeclarations", "function_declarations"})
_PARTS: dict[str, Need] = {
    "image_url": "vision",
    "input_image": "vision",
    "image": "vision",
    "input_audio": "audio",
    "audio": "audio",
    "input_file": "documents",
    "file": "documents",
    "document": "documents",
    "container_upload": "documents",
    "inlineData": "vision",
    "inline_data": "vision",
    "fileData": "documents",
    "file_data": "documents",
}
"""What a part of a conversation that is no text asks of a model, by its type or, at Google, by its key."""
_LIST = ord("[")
_contents_wire = msgspec.json.Decoder(list[_Content]).decode
_parts_wire = msgspec.json.Decoder(list[_Part]).decode
_FORMATS: dict[str, Need] = {"json_schema": "json_schema", "json_object": "json_object"}


def _parts(content: msgspec.Raw, depth: int = 0) -> set[Need]:
    """What the parts of a message ask for, those inside results of tools too."""
    found: set[Need] = set()
    if memoryview(content)[0] != _LIST:
        return found
    for part in _parts_wire(content):
        need = _PARTS.get(part.type)
        if need is not None:
            found.add(need)
        if depth < _DEEPEST:
            found |= _parts(part.content, depth + 1)
    return found


_DEEPEST = 2
"""Parts lie in results of tools, which lie in messages, which the Responses wire has as items."""


def _turns(turns: list[_Turn]) -> set[Need]:
    found: set[Need] = set()
    for turn in turns:
        content = turn.content
        if memoryview(content)[0] == _LIST:
            found |= _parts(content)
    return found


def _given(raw: msgspec.Raw) -> bool:
    return raw is not ABSENT and bytes(raw) != b"null"


def _billed(tools: list[_Kind] | None) -> str:
    for tool in tools or ():
        if tool.type not in _FREE_TOOLS and not tool.type.startswith(_CLIENT_TOOLS):
            return f"the tool {tool.type[:60]!r} is run and billed by the provider"
    return ""


def _tier(tier: str | None) -> str:
    return "" if tier in _LIST_TIERS else f"the service tier {str(tier)[:60]!r} has prices of its own"


def _needs(wire: _Directed, needs: set[Need], *found: tuple[Need, bool]) -> frozenset[Need]:
    needs.update(need for need, wanted in found if wanted)
    if wire.stream:
        needs.add("stream")
    return frozenset(needs)


def _directed(wire: _Directed) -> bool:
    return _given(wire.provider) or _given(wire.provider_hint) or _given(wire.routing)


def _chat(wire: _Chat) -> Outline:
    needs = _turns(wire.messages)
    return _plain(wire) if not needs and _asks_for_text(wire) else _special(wire, needs)


def _asks_for_text(wire: _Chat) -> bool:
    """Whether no option of a request asks for anything but one text."""
    return (
        wire.tools is None
        and wire.response_format is None
        and wire.reasoning_effort is None
        and wire.n is None
        and wire.logprobs is None
        and wire.modalities is None
        and not _given(wire.web_search_options)
        and not _given(wire.functions)
    )


def _special(wire: _Chat, needs: set[Need]) -> Outline:
    """The outline of a request that asks for more than text; `needs` is what its messages ask for."""
    kind = _FORMATS.get(wire.response_format.type) if wire.response_format is not None else None
    wanted = _needs(
        wire,
        needs,
        ("tools", bool(wire.tools) or _given(wire.functions)),
        ("reasoning", wire.reasoning_effort not in (None, "none")),
        ("logprobs", bool(wire.logprobs)),
        ("choices", (wire.n or 1) > 1),
        ("audio", "audio" in (wire.modalities or ())),
    )
    searches = "web search is billed by the search" if _given(wire.web_search_options) else ""
    return Outline(
        model=wire.model,
        stream=bool(wire.stream),
        max_output=wire.max_completion_tokens if wire.max_completion_tokens is not None else wire.max_tokens,
        choices=wire.n or 1,
        needs=wanted if kind is None else wanted | {kind},
        unbounded=searches or _billed(wire.tools) or _tier(wire.service_tier),
        media=not wanted.isdisjoint(_MEDIA),
        session=wire.prompt_cache_key or wire.user,
        directed=_directed(wire),
        usage_asked=wire.stream_options is not None and wire.stream_options.include_usage,
        options=wire.stream_options is not None,
    )


def _plain(wire: _Chat) -> Outline:
    """The outline of a request that asks for nothing but text."""
    options = wire.stream_options
    return Outline(
        model=wire.model,
        stream=bool(wire.stream),
        max_output=wire.max_completion_tokens if wire.max_completion_tokens is not None else wire.max_tokens,
        needs=_STREAM if wire.stream else _NONE,
        unbounded="" if wire.service_tier is None else _tier(wire.service_tier),
        session=wire.prompt_cache_key or wire.user,
        directed=_directed(wire),
        usage_asked=options is not None and options.include_usage,
        options=options is not None,
    )


_NONE: frozenset[Need] = frozenset()
_STREAM: frozenset[Need] = frozenset(("stream",))
_MEDIA: frozenset[Need] = frozenset({"vision", "audio", "documents"})


def _completion(wire: _Completion) -> Outline:
    prompts = 1 if isinstance(wire.prompt, str) else max(1, len(wire.prompt))
    choices = max(wire.n or 1, wire.best_of or 1) * prompts
    return Outline(
        model=wire.model,
        stream=bool(wire.stream),
        max_output=16 if wire.max_tokens is None else wire.max_tokens,
        choices=choices,
        needs=_STREAM if wire.stream else _NONE,
        session=wire.user,
        directed=_directed(wire),
        usage_asked=wire.stream_options is not None and wire.stream_options.include_usage,
        options=wire.stream_options is not None,
    )


def _responses(wire: _Responses) -> Outline:
    kind = _FORMATS.get(wire.text.format.type) if wire.text is not None and wire.text.format is not None else None
    needs = _needs(wire, _parts(wire.input), ("tools", bool(wire.tools)), ("reasoning", _given(wire.reasoning)))
    background = "it is answered in the background" if wire.background else ""
    return Outline(
        model=wire.model,
        stream=bool(wire.stream),
        max_output=wire.max_output_tokens,
        needs=needs if kind is None else needs | {kind},
        unbounded=background or _billed(wire.tools) or _tier(wire.service_tier),
        media=not needs.isdisjoint(_MEDIA),
        session=wire.prompt_cache_key or wire.user,
        directed=_directed(wire),
    )


def _messages(wire: _Messages) -> Outline:
    needs = _needs(
        wire,
        _turns(wire.messages),
        ("tools", bool(wire.tools)),
        ("reasoning", _given(wire.thinking)),
        ("json_schema", _given(wire.output_config)),
    )
    hosted = "servers of tools are run and billed by the provider" if _given(wire.mcp_servers) or _given(wire.container) else ""
    fast = "" if wire.speed in (None, "standard") else f"the speed {wire.speed[:60]!r} has prices of its own"
    return Outline(
        model=wire.model,
        stream=bool(wire.stream),
        max_output=wire.max_tokens,
        needs=needs,
        unbounded=hosted or fast or _billed(wire.tools) or _tier(wire.service_tier),
        media=not needs.isdisjoint(_MEDIA),
        session=wire.metadata.user_id if wire.metadata is not None else None,
        directed=_directed(wire),
    )


def _generate(wire: _Generate) -> Outline:
    config = wire.generation_config or _Generation()
    contents = _contents_wire(wire.contents) if memoryview(wire.contents)[0] == _LIST else []
    needs: set[Need] = {_PARTS[key] for content in contents for part in content.parts for key in part if key in _PARTS}
    shaped = _given(config.response_schema) or _given(config.response_json_schema)
    kinds: tuple[tuple[Need, bool], ...] = (
        ("tools", bool(wire.tools)),
        ("json_schema", shaped),
        ("json_object", not shaped and config.response_mime_type == "application/json"),
        ("reasoning", _given(config.thinking_config)),
        ("choices", (config.candidate_count or 1) > 1),
    )
    needs.update(need for need, wanted in kinds if wanted)
    hosted = next((name for tool in wire.tools or () for name in tool if name not in _GEMINI_FREE), "")
    return Outline(
        max_output=config.max_output_tokens,
        choices=config.candidate_count or 1,
        needs=frozenset(needs),
        unbounded=f"the tool {hosted[:60]!r} is run and billed by the provider" if hosted else _tier(_google_tier(wire.service_tier)),
        media=not needs.isdisjoint(_MEDIA),
    )


def _google_tier(word: str | None) -> str | None:
    tier = None if word is None else word.lower().removeprefix("service_tier_")
    return None if tier == "unspecified" else tier


_chat_wire = msgspec.json.Decoder(_Chat).decode
_completion_wire = msgspec.json.Decoder(_Completion).decode
_responses_wire = msgspec.json.Decoder(_Responses).decode
_messages_wire = msgspec.json.Decoder(_Messages).decode
_generate_wire = msgspec.json.Decoder(_Generate).decode
READERS: dict[str, Callable[[bytes], Outline]] = {
    "openai_chat": lambda body: _chat(_chat_wire(body)),
    "openai_completions": lambda body: _completion(_completion_wire(body)),
    "openai_responses": lambda body: _responses(_responses_wire(body)),
    "anthropic_messages": lambda body: _messages(_messages_wire(body)),
    "gemini_generate": lambda body: _generate(_generate_wire(body)),
}
"""How each surface's requests are outlined. A reader raises `msgspec.DecodeError` for a body that does not fit."""


def outline(dialect: str, body: bytes, model: str, stream: bool) -> Outline:
    """The outline of a request of `dialect`, whose model and streaming are known. Never raises: see `UNREADABLE`."""
    try:
        found = READERS[dialect](body)
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Outline(model=model, stream=stream, unbounded=UNREADABLE)
    needs = found.needs | {"stream"} if stream else found.needs
    return msgspec.structs.replace(found, model=model, stream=stream, needs=needs)
