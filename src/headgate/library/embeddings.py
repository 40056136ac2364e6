"""What a call for embeddings takes and brings back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import msgspec

from headgate.dialects.base import Note
from headgate.domain.cost import Cost
from headgate.domain.embedding import EmbedRequest, EmbedResponse
from headgate.domain.usage import Usage
from headgate.errors import UsageError
from headgate.ledger import Receipt


class EmbedOptions(TypedDict, total=False):
    """What may be said about a call for embeddings beside model and inputs.

    `task` is what the vectors are for ("query", "document", "similarity", "classification", "clustering" …, or the provider's own word);
    `timeout` seconds for the whole request; `strict` as in `Options`.
    """

    dimensions: int | None
    task: str | None
    user: str | None
    timeout: float | None
    strict: bool


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors with their price, in the order of the inputs; the other fields are those of `Completion`."""

    response: EmbedResponse
    usage: Usage
    cost: Cost
    receipt_id: str
    notes: tuple[Note, ...] = ()

    @property
    def vectors(self) -> tuple[tuple[float, ...], ...]:
        """One vector for each input."""
        return tuple(item.values for item in self.response.embeddings)

    @property
    def dimensions(self) -> int:
        """The length of the vectors."""
        return len(self.response.embeddings[0].values)


def embed_request(model: str | EmbedRequest, inputs: str | Sequence[str] | None, options: EmbedOptions) -> EmbedRequest:
    """The request that the arguments of a call describe. Raises `UsageError` for what does not fit, `TypeError` for unknown names."""
    for name in options:
        if name not in EmbedOptions.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}: embed takes {', '.join(EmbedOptions.__annotations__)}")
    dimensions = options.get("dimensions")
    if dimensions is not None and dimensions < 1:
        raise UsageError("dimensions must be at least 1")
    given = {"dimensions": dimensions, "task": options.get("task"), "user": options.get("user")}
    fields = {name: value for name, value in given.items() if value is not None}
    if isinstance(model, EmbedRequest):
        if inputs is not None:
            raise UsageError("an EmbedRequest has its inputs already: give no others beside it")
        return msgspec.structs.replace(model, **fields)
    if not inputs:
        raise UsageError("there is nothing to embed", hint='client.embed("openai/text-embedding-3-small", ["first text", "second text"])')
    texts = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    return msgspec.convert({"model": model, "inputs": texts, **fields}, EmbedRequest)


def embeddings_of(response: EmbedResponse, receipt: Receipt) -> Embeddings:
    """Vectors beside the receipt that was written for them."""
    return Embeddings(response=response, usage=receipt.usage, cost=receipt.cost, receipt_id=receipt.id, notes=receipt.notes)
