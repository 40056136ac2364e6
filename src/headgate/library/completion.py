"""What a call brings back."""

from __future__ import annotations

import msgspec

from headgate.dialects.base import Note
from headgate.domain.content import ToolCall
from headgate.domain.cost import Cost
from headgate.domain.response import Finish, Response
from headgate.domain.usage import Usage
from headgate.ledger import Receipt
from headgate.wire.json import Json, decode


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with its price.

    `usage` is the provider's count, or an estimate that says so (`usage.source`); `cost` may be unpriced (`cost.nanos` None).
    `receipt_id` names the receipt in the ledger; `notes` list what did not reach the provider as asked.
    """

    response: Response
    usage: Usage
    cost: Cost
    receipt_id: str
    notes: tuple[Note, ...] = ()

    @property
    def text(self) -> str:
        """The text of the answer ("" when there is none)."""
        return self.response.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls the model asks for."""
        return self.response.tool_calls

    @property
    def finish(self) -> Finish | None:
        """How the answer ended."""
        return self.response.finish

    @property
    def json(self) -> Json:
        """The text as a JSON value, for calls with a schema. Raises `WireError` when it is none."""
        return decode(self.text, what="the answer")

    def __str__(self) -> str:
        return self.text


def completion_of(response: Response, receipt: Receipt) -> Completion:
    """An answer beside the receipt that was written for it."""
    return Completion(response=response, usage=receipt.usage, cost=receipt.cost, receipt_id=receipt.id, notes=receipt.notes)
