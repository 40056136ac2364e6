"""Whether the ledger is what was written to it: the chain of receipts, link by link, and each row against itself (faults J7). Pure.

The hash of a receipt is ``sha256(hash of the one before, bytes of its detail)``; `seq` counts without a gap. Of an altered receipt its own
hash is wrong; whoever mends that too breaks the next one. Only whoever rewrites everything after it, and the head, leaves no trace in the
database: against that, note the head elsewhere now and then, and let it be looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from headgate.ledger import chain
from headgate.ledger.receipt import Receipt
from headgate.store.connection import Value

Kind: TypeAlias = Literal["altered", "missing", "extra", "unchained", "columns", "unreadable", "head", "noted_head"]


class Link(msgspec.Struct, frozen=True):
    """A row of the chain: its place, its hash (None: from before there was a chain), and the bytes that were hashed."""

    seq: int
    hash: bytes | None
    data: bytes


class Head(msgspec.Struct, frozen=True):
    """A place in the chain and the hash there."""

    seq: int
    hash: bytes


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was written, and where."""

    kind: Kind
    seq: int
    text: str


def verify_chain(links: Iterable[Link], start: Head, head: Head | None, noted: Head | None = None) -> Iterator[Finding]:
    """Every break in the chain of `links` (in order of `seq`) that follows `start`, up to `head` (None: nobody knows where it ends).

    `noted` is a head that was written down earlier; it must still be part of the chain.
    """
    seq, before = start.seq, start.hash
    chained = False
    seen = noted is None or noted == start
    for link in links:
        if link.seq <= seq:
            yield Finding("extra", link.seq, "a receipt stands where none was written")
            continue
        if link.seq != seq + 1:
            yield Finding("missing", link.seq, f"receipts {seq + 1} to {link.seq - 1} are gone, or the numbers were changed")
        if link.hash is None:
            if chained:
                yield Finding("unchained", link.seq, "the hash was taken away")
        elif link.seq == seq + 1 and link.hash != chain.link(before, link.data):
            yield Finding("altered", link.seq, "the receipt, or the one before it, is not what was written")
        chained = chained or link.hash is not None
        seq, before = link.seq, before if link.hash is None else link.hash
        seen = seen or (noted is not None and (noted.seq, noted.hash) == (link.seq, link.hash))
    if head is not None and (head.seq, head.hash) != (seq, before):
        yield Finding("head", seq, f"the chain ends at {seq}, but {head.seq} were written: the last ones, or its head, were changed")
    if not seen and noted is not None:
        yield Finding("noted_head", noted.seq, f"the head that was noted at {noted.seq} is not in the chain")


COLUMNS = ("id", "at", "face", "provider", "account", "model", "lane", "status", "cost_nanos", "team", "tenant", "run", "submission")
"""What a row repeats of its receipt by the same name."""


def column_values(receipt: Receipt) -> dict[str, Value]:
    """What the columns beside a receipt must be."""
    usage = receipt.usage
    return {
        **{name: getattr(receipt, name) for name in COLUMNS},
        "input_tokens": usage.input_total,
        "cached_tokens": usage.cached,
        "output_tokens": usage.output_total,
        "reasoning_tokens": usage.reasoning,
        "key_id": receipt.key,
        "user_name": receipt.user,
    }


def wrong_columns(receipt: Receipt, row: dict[str, Value]) -> tuple[str, ...]:
    """The columns of a row that contradict its receipt."""
    return tuple(name for name, value in column_values(receipt).items() if not _same(row[name], value))


def _same(stored: Value, value: Value) -> bool:
    """Whether a column holds a value, in its own kind: text is no number, whatever it looks like."""
    numbers = isinstance(stored, int | float) and isinstance(value, int | float)
    return stored == value if numbers or type(stored) is type(value) else stored is None and value is None


def head_text(head: Head) -> str:
    """A head to write down."""
    return f"{head.seq}:{head.hash.hex()}"


def read_head(text: str) -> Head:
    """A head that was written down. Raises `ValueError`."""
    seq, _, digest = text.partition(":")
    found = Head(int(seq), bytes.fromhex(digest))
    if len(found.hash) != len(chain.START):
        raise ValueError(f"{text!r} is no head of a chain")
    return found
