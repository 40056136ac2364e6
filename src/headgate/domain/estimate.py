"""Usage when the provider said nothing: an estimate, marked as one (translation cases 52 and 56)."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.domain.content import Block, Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.embedding import EmbedInput
from headgate.domain.response import Response
from headgate.domain.usage import Usage
from headgate.wire.json import encode_text

BYTES_PER_TOKEN = 4


def estimate_tokens(size: int) -> int:
    """Tokens of `size` bytes of text, at four bytes each, rounded up."""
    return -(-size // BYTES_PER_TOKEN)


def estimate_usage(request_bytes: int, response: Response) -> Usage:
    """Usage of an answer (or of the part of it that came) to a request of so many bytes."""
    text = reasoning = 0
    for choice in response.choices:
        for block in choice.content:
            if isinstance(block, Thinking):
                reasoning += len(block.text.encode())
            else:
                text += _size(block)
    return Usage(
        input_uncached=estimate_tokens(request_bytes),
        output_text=estimate_tokens(text),
        output_reasoning=estimate_tokens(reasoning),
        source="estimated",
    )


def estimate_embedding(inputs: Iterable[EmbedInput]) -> Usage:
    """Usage of a call that embeds `inputs`: tokens are counted, texts estimated."""
    counts = (len(item) if isinstance(item, tuple) else estimate_tokens(len(item.encode("utf-8", "surrogatepass"))) for item in inputs)
    return Usage(input_uncached=sum(counts), source="estimated")


def _size(block: Block) -> int:
    if isinstance(block, Text | Refusal):
        return len(block.text.encode())
    if isinstance(block, ToolCall):
        return len(block.name.encode()) + len(block.arguments.encode())
    return len(encode_text(block.raw if isinstance(block, Opaque) else block))
