"""Items, the elements of `input` and `output`: each kind read into blocks and written from them.

Reading an item gives blocks, a *head* and the keys nobody named. The head is a JSON object with what is spelling only, so that the item
can be written back equal: `type`, `id` and `status` as they were, and

* messages: `n` (number of parts), `list` (a single plain text written as a list), `empty` (keys of text parts that are empty lists),
* reasoning: `of` ("content" when the text lay there, "both" when summary and content said the same), `cuts` (lengths of the texts that
  were joined by a blank line), `absent` (keys that were not there), `bare` (`content` was an empty list),
* any: `null` (keys that were null).

Requests keep heads in `form`; answers keep them in the block's `extra["item"]`, a list of one, because folding a stream makes lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.dialects.openai_chat.data_url import sniff
from headgate.dialects.openai_responses.parts import PART, SIGNATURE, parse_part, render_part
from headgate.dialects.openai_responses.words import NAME, malformed
from headgate.domain.content import Block, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.wire.json import Json, JsonObject

SPELLING = ("type", "id", "status")
EMPTY = ("annotations", "logprobs")
JOINT = "\n\n"
"""Between the paragraphs of a summary, when they become one text."""

ITEM = "item"
"""Key of a block's `extra` in answers: the head of the item it began."""

MORE = "more"
"""Key of a head in answers: the item's keys nobody named."""

ENCRYPTED_CONTENT = "encrypted_content"
"""Key of a reasoning item for what only its maker can read."""

SIGNED = "headgate:signature:"
REDACTED = "headgate:redacted:"
"""Marks before what `ENCRYPTED_CONTENT` carries of another wire, a signature or a redacted thought: no provider but its own may be sent it.
What bears no mark is for nobody but OpenAI (cases 72 and 75)."""

_IMAGE_MIME = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}


def split_keys(item: JsonObject, named: tuple[str, ...], head: JsonObject) -> JsonObject:
    """Put spelling into `head`; the keys nobody named remain. Nulls among them say nothing, so they are spelling."""
    more = {key: value for key, value in item.items() if key not in named and value is not None}
    for key in SPELLING:
        if key not in named and isinstance(more.get(key), str):
            head[key] = more.pop(key)
    nulls = sorted(key for key, value in item.items() if value is None and key not in named)
    if nulls:
        head["null"] = nulls
    return more


def join_keys(item: JsonObject, head: JsonObject, more: JsonObject | None) -> JsonObject:
    """The item with its spelling and further keys."""
    for key in SPELLING:
        if key in head:
            item[key] = head[key]
    for key in head.get("null", ()):
        item[key] = None
    if more:
        item.update(more)
    return item


# Messages


def read_message(item: JsonObject, param: str) -> tuple[list[Block], JsonObject, JsonObject]:
    """Read a message item. Raises `WireError` naming what is malformed."""
    head: JsonObject = {}
    more = split_keys(item, ("role", "content"), head)
    content, role = item.get("content"), item["role"]
    if type(content) is str:
        return [Text(content)], head, more
    if type(content) is not list:
        raise malformed(f"{param}.content", "a string or an array of parts")
    head["n"] = len(content)
    empty = _all_empty(content)
    if empty:
        head["empty"] = empty
        content = [_without(part, empty) for part in content]
    blocks = [parse_part(part, role, f"{param}.content[{number}]") for number, part in enumerate(content)]
    if len(blocks) == 1 and is_plain(blocks[0]) and not empty:
        head["list"] = True
    return blocks, head, more


def _all_empty(parts: list[Json]) -> list[str]:
    """Keys that are there in every text part, and an empty list wherever there is nothing to tell."""
    texts = [part for part in parts if isinstance(part, dict) and part.get("type") == "output_text"]
    if not texts:
        return []
    return [key for key in EMPTY if any(t.get(key) == [] for t in texts) and all(isinstance(t.get(key), list) for t in texts)]


def _without(part: Json, empty: list[str]) -> Json:
    if not isinstance(part, dict):
        return part
    return {key: value for key, value in part.items() if not (key in empty and value == [])}


def is_plain(block: Block) -> bool:
    """A text with nothing but its text, which may be written as a string when it is alone."""
    return type(block) is Text and block.cache is None and block.extra is None and block.signature is None


def write_message(blocks: Sequence[Block], role: str, head: JsonObject, more: JsonObject | None, *, listed: bool = False) -> JsonObject:
    """Write a message item; `listed` says that its content is a list in any case."""
    item: JsonObject = {"role": role}
    if not listed and len(blocks) == 1 and "list" not in head and "empty" not in head and is_plain(first := blocks[0]):
        item["content"] = first.text if isinstance(first, Text) else ""
    else:
        empty: JsonObject = {key: [] for key in head.get("empty", ())}
        item["content"] = [_write_part(block, role, empty) for block in blocks]
    return join_keys(item, head, more)


def _write_part(block: Block, role: str, empty: JsonObject) -> Json:
    if isinstance(block, Opaque):
        return block.raw
    if not isinstance(block, Text | Media | Refusal):
        raise TypeError(f"{type(block).__name__} is no part of a message")
    part = render_part(block, role)
    return {**empty, **part} if empty and type(block) is Text else part


def is_part(block: Block) -> bool:
    """A block that lies inside a message item."""
    if type(block) is Opaque:
        return block.place == PART
    if type(block) is Media:
        return not (block.extra and ITEM in block.extra)
    return isinstance(block, Text | Refusal)


# Reasoning


def read_reasoning(item: JsonObject) -> tuple[Thinking, JsonObject, JsonObject] | None:
    """Read a reasoning item; None for a shape the domain cannot hold."""
    head: JsonObject = {"type": "reasoning"}
    more = split_keys(item, ("type", "summary", "content", "encrypted_content"), head)
    said, thought = _texts(item.get("summary"), "summary_text"), _texts(item.get("content"), "reasoning_text")
    if said is None or thought is None or (item.get("summary") is None and "summary" in item):
        return None
    if "summary" not in item:
        head["absent"] = ["summary"]
    if thought:
        head["of"] = "both" if said == thought else "content"
        if said and said != thought:
            more["summary"] = item["summary"]
    elif "content" in item:
        head["bare" if item["content"] == [] else "void"] = True
    texts = thought or said
    if len(texts) > 1 or texts == [""]:
        head["cuts"] = [len(text) for text in texts]
    return _thinking(item, JOINT.join(texts), head, more)


def _thinking(item: JsonObject, text: str, head: JsonObject, more: JsonObject) -> tuple[Thinking, JsonObject, JsonObject] | None:
    """The block. A secret of another wire, which we wrote here, is told by its mark; what this wire encrypted stays with its item."""
    secret = item.get("encrypted_content")
    if secret is None:
        if "encrypted_content" in item:
            head["null"] = [*head.get("null", ()), "encrypted_content"]
        return Thinking(text), head, more
    if not isinstance(secret, str):
        return None
    if secret.startswith(SIGNED):
        return Thinking(text, secret[len(SIGNED) :]), head, more
    if secret.startswith(REDACTED):
        return Thinking(text, redacted=secret[len(REDACTED) :]), head, more
    return Thinking(text), head, {**more, ENCRYPTED_CONTENT: secret}


def _texts(value: Json, kind: str) -> list[str] | None:
    """The texts of a list of plain parts; None when there is anything else in it."""
    if value is None:
        return []
    if type(value) is not list:
        return None
    texts: list[str] = []
    for part in value:
        if not isinstance(part, dict) or len(part) != 2 or part.get("type") != kind or not isinstance(part.get("text"), str):
            return None
        texts.append(part["text"])
    return texts


def write_reasoning(block: Thinking, head: JsonObject, more: JsonObject | None) -> JsonObject:
    """Write a reasoning item."""
    texts = _cut(block.text, head.get("cuts")) or ([block.text] if block.text else [])
    of = head.get("of")
    item: JsonObject = {"type": "reasoning", "summary": [] if of == "content" else _parts(texts, "summary_text")}
    if of is not None:
        item["content"] = _parts(texts, "reasoning_text")
    elif "bare" in head or "void" in head:
        item["content"] = [] if "bare" in head else None
    if block.redacted is not None:
        item[ENCRYPTED_CONTENT] = REDACTED + block.redacted
    elif block.signature is not None:
        item[ENCRYPTED_CONTENT] = SIGNED + block.signature
    for key in head.get("absent", ()):
        item.pop(key, None)
    return join_keys(item, head, more)


def _parts(texts: Sequence[str], kind: str) -> list[Json]:
    return [{"type": kind, "text": text} for text in texts]


def _cut(text: str, cuts: Json) -> list[str]:
    """The texts that were joined; empty when the lengths no longer fit."""
    if not isinstance(cuts, list) or sum(cuts) + len(JOINT) * (len(cuts) - 1) != len(text):
        return []
    texts, place = [], 0
    for length in cuts:
        texts.append(text[place : place + length])
        place += length + len(JOINT)
    return texts


# Calls and their results


def read_call(item: JsonObject, param: str) -> tuple[ToolCall, JsonObject, JsonObject]:
    """Read a function call. Raises `WireError` for a call without id, name or arguments."""
    for key in ("call_id", "name", "arguments"):
        if type(item.get(key)) is not str:
            raise malformed(f"{param}.{key}", "a string")
    head: JsonObject = {}
    more = split_keys(item, ("type", "call_id", "name", "arguments"), head)
    signature = more.pop(SIGNATURE) if isinstance(more.get(SIGNATURE), str) else None
    return ToolCall(item["call_id"], item["name"], item["arguments"], signature=signature), head, more


def write_call(block: ToolCall, head: JsonObject, more: JsonObject | None) -> JsonObject:
    """Write a function call."""
    item = {"type": "function_call", "call_id": block.id, "name": block.name, "arguments": block.arguments}
    if block.signature is not None:
        item[SIGNATURE] = block.signature
    return join_keys(item, head, more)


def read_result(item: JsonObject, param: str) -> tuple[ToolResult, JsonObject, JsonObject]:
    """Read the output of a function call. Raises `WireError` for one without call id or output."""
    call_id, output = item.get("call_id"), item.get("output")
    if type(call_id) is not str:
        raise malformed(f"{param}.call_id", "a string")
    head: JsonObject = {}
    more = split_keys(item, ("type", "call_id", "output"), head)
    if type(output) is str:
        return ToolResult(call_id, (Text(output),)), head, more
    if type(output) is not list:
        raise malformed(f"{param}.output", "a string or an array of parts")
    blocks = tuple(parse_part(part, "tool", f"{param}.output[{number}]") for number, part in enumerate(output))
    if len(blocks) == 1 and is_plain(blocks[0]):
        head["list"] = True
    return ToolResult(call_id, blocks), head, more


def write_result(block: ToolResult, head: JsonObject, more: JsonObject | None) -> JsonObject:
    """Write the output of a function call."""
    message = write_message(block.content, "tool", {key: head[key] for key in ("list",) if key in head}, None)
    return join_keys({"type": "function_call_output", "call_id": block.call_id, "output": message["content"]}, head, more)


# Answers


def read_output(item: Json, param: str) -> list[Block]:
    """The blocks of an output item, its head kept in the first one's `extra`. Unknown kinds become one `Opaque`."""
    if type(item) is not dict:
        raise malformed(param, "an object")
    kind = item.get("type")
    if kind == "message" and item.get("role") == "assistant":
        blocks, head, more = read_message(item, param)
        said = bool(blocks) and isinstance(blocks[0], Text | Refusal)
        return [_headed(blocks[0], head, more), *blocks[1:]] if said else [Opaque(item, NAME)]
    if kind == "function_call":
        call, head, more = read_call(item, param)
        return [_headed(call, head, more)]
    if kind == "reasoning" and (found := read_reasoning(item)) is not None:
        return [_headed(*found)]
    return [_picture(item) or Opaque(item, NAME)]


def _headed(block: Block, head: JsonObject, more: JsonObject) -> Block:
    whole = {**head, MORE: more} if more else head
    mark = {ITEM: [whole]}
    if isinstance(block, Text):
        return Text(block.text, block.cache, block.signature, {**(block.extra or {}), **mark})
    if isinstance(block, Refusal):
        return Refusal(block.text, {**(block.extra or {}), **mark})
    if isinstance(block, ToolCall):
        return ToolCall(block.id, block.name, block.arguments, signature=block.signature, extra=mark)
    if isinstance(block, Thinking):
        return Thinking(block.text, block.signature, block.redacted, mark)
    return block


def head_of(block: Block) -> tuple[JsonObject, JsonObject | None] | None:
    """Head and further keys of the item that `block` began; None when nothing is known of it."""
    if isinstance(block, Opaque) or not block.extra:
        return None
    found = block.extra.get(ITEM)
    whole = found[0] if isinstance(found, list) and found else None
    return (whole, whole.get(MORE)) if isinstance(whole, dict) else None


def _picture(item: JsonObject) -> Media | None:
    """A generated picture that is here as data."""
    data = item.get("result")
    if item.get("type") != "image_generation_call" or not isinstance(data, str) or not data:
        return None
    word = item.get("output_format")
    mime = _IMAGE_MIME.get(word) if isinstance(word, str) else sniff(data)
    rest = {key: value for key, value in item.items() if key != "result"}
    return Media("image", mime or sniff(data), data, extra={ITEM: [rest]})


def write_picture(block: Media, head: JsonObject) -> JsonObject:
    """Write a generated picture as an item."""
    return {**head, "type": "image_generation_call", "result": block.data}
