"""The context: whether a prompt fits, how much to ask for, and whether a server has cut a prompt (case 115).

A server that is not told otherwise loads a model with a small context (2048 tokens in older versions, 4096 in newer ones on common
hardware) and silently drops the oldest messages of a longer prompt. Against that there are four guards:

* `check_fit` refuses a prompt that certainly does not fit;
* `window` is the ``options.num_ctx`` a request of another wire is sent with when the smallest default may be too small. It is a power of
  two, for a server loads the model anew whenever the number changes, and never more than the model has. It takes nothing from the
  caller, so that it is no loss and has no note (strict mode refuses requests with losses);
* such requests also say ``truncate: false`` and ``shift: false``: newer servers then refuse (400) what does not fit after all, and end an
  answer that reaches the end of the context with "length" instead of forgetting its beginning;
* `truncated` compares a server's count of the prompt with the least the prompt can be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from headgate.dialects.base import Note
from headgate.domain.capabilities import Capabilities
from headgate.domain.content import Block, Media, Text, ToolCall, ToolResult
from headgate.domain.request import Message, Request, Role, Tool
from headgate.domain.response import Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError
from headgate.wire.json import encode

SMALLEST_DEFAULT = 2048
"""Tokens of context every server has without being asked."""
SMALLEST_WINDOW = 4096
USUAL_ANSWER = 4096
"""Tokens kept free for an answer nobody set a limit for, after a long prompt."""
LONGEST_TOKEN = 32
"""Bytes. Vocabularies have longer tokens, but no prompt consists of them alone once repetitions are squeezed."""
BYTES_PER_TOKEN = 3
"""For an estimate on the high side: English has four to five, other scripts about three."""
MESSAGE_TOKENS = 16
IMAGE_TOKENS = 2048
TOOLS_TOKENS = 512
"""What templates say about tools, besides the tools."""

_THOUGHTS_END = "</think>"
_REPEATED = re.compile(r"(.)\1{7,}", re.DOTALL)


def text_floor(text: str) -> int:
    """A number of tokens that `text` cannot be fewer than: no token spans two words, and none is longer than `LONGEST_TOKEN` bytes."""
    words = _REPEATED.sub(r"\1", text).split()
    size = sum(len(word.encode("utf-8", "replace")) for word in words)
    return max(len(words), -(-size // LONGEST_TOKEN))


def prompt_floor(messages: Iterable[Message]) -> int:
    """Tokens that a prompt of these messages cannot be fewer than.

    What a template may leave out is not counted: thoughts (those written into an earlier answer too), tools and media.
    """
    return sum(text_floor(_kept(message.role, text)) for message in messages for text in _texts(message.content))


def _kept(role: Role, text: str) -> str:
    return text.rpartition(_THOUGHTS_END)[2] if role == "assistant" else text


def _texts(blocks: Iterable[Block]) -> list[str]:
    found: list[str] = []
    for block in blocks:
        if isinstance(block, Text):
            found.append(block.text)
        elif isinstance(block, ToolResult):
            found += _texts(block.content)
    return found


def check_fit(request: Request, capabilities: Capabilities, num_ctx: int | None = None, answer: int = 1) -> None:
    """Refuse a prompt that certainly leaves no `answer` tokens of the context: the model's, or `num_ctx` when the caller chose less.

    Raises `ProviderError` of kind `CONTEXT_LENGTH` with the numbers; nothing was sent then.
    """
    limits = [limit for limit in (num_ctx, capabilities.context) if limit is not None]
    if not limits:
        return
    limit = min(limits)
    if sum([len(text) for message in request.messages for text in _texts(message.content)]) + answer <= limit:
        return  # a floor is never more than the characters there are
    floor = prompt_floor(request.messages)
    if floor + answer <= limit:
        return
    raise ProviderError(
        ErrorKind.CONTEXT_LENGTH,
        f"the prompt has at least {floor} tokens and asks for {answer} more, the context of {request.model} has {limit}",
        code="context_length_exceeded",
        param="messages",
        fault="client",
        hint="shorten the messages, lower max_tokens, or choose a model with a longer context",
        sent=False,
    )


def prompt_estimate(request: Request) -> int:
    """Tokens of the prompt, estimated on the high side."""
    size = images = 0
    for message in request.messages:
        for block in message.content:
            if isinstance(block, Text):
                size += _bytes(block.text)
            else:
                size += _size(block)
                images += _images(block)
    fixed = MESSAGE_TOKENS * (len(request.messages) + 1)
    if request.tools:
        size += sum(_tool_size(tool) for tool in request.tools if isinstance(tool, Tool))
        fixed += TOOLS_TOKENS
    return size // BYTES_PER_TOKEN + fixed + IMAGE_TOKENS * images


def _bytes(words: str) -> int:
    return len(words) if words.isascii() else len(words.encode("utf-8", "replace"))


def _tool_size(tool: Tool) -> int:
    return len(encode(tool.parameters)) + _bytes(tool.name + (tool.description or "")) + 64


def _size(block: Block) -> int:
    if isinstance(block, ToolResult):
        return sum([_size(inner) for inner in block.content])
    return _bytes(block.arguments + block.name if isinstance(block, ToolCall) else getattr(block, "text", None) or "")


def _images(block: Block) -> int:
    return sum([_images(inner) for inner in block.content]) if isinstance(block, ToolResult) else isinstance(block, Media)


def window(request: Request, capabilities: Capabilities) -> int | None:
    """``options.num_ctx`` for a request that chose none; None when every server's default is enough.

    A short prompt without a limit to its answer is left to the server, whose default may be larger than anything guessed here.
    """
    prompt, answer = prompt_estimate(request), request.max_tokens
    needed = prompt + (answer if answer is not None else capabilities.default_output or USUAL_ANSWER)
    if needed <= SMALLEST_DEFAULT or (answer is None and prompt <= SMALLEST_DEFAULT // 2):
        return None
    size = SMALLEST_WINDOW
    while size < needed:
        size *= 2
    return size if capabilities.context is None else min(size, capabilities.context)


def truncated(usage: Usage, floor: int) -> bool:
    """Whether a server read fewer tokens than the prompt can have (`prompt_floor`), so that it must have cut it."""
    return usage.source == "provider" and 0 < usage.input_total < floor


def review(request: Request, response: Response) -> tuple[Note, ...]:
    """The note for an answer to a prompt that was cut by the server; none when it was not, or when nobody can tell."""
    if response.usage is None:
        return ()
    floor = prompt_floor(request.messages)
    if not truncated(response.usage, floor):
        return ()
    reason = f"the server read {response.usage.input_total} tokens of a prompt that has at least {floor}: it cut the oldest messages"
    return (Note("messages", "dropped", reason),)
