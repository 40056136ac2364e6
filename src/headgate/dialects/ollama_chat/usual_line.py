"""Reading the usual line of a stream in one typed pass: words or thoughts of a message that goes on.

The record of a message forbids keys it does not name; a line that says anything else gives None and is read key by key.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate.wire.json import typed_reader


class UsualMessage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """More of a message."""

    content: str
    role: Literal["assistant"] = "assistant"
    thinking: str = ""


class UsualLine(msgspec.Struct, gc=False):
    """A line; other keys have no meaning between the first one and the last."""

    message: UsualMessage
    done: Literal[False]
    error: None = None
    logprobs: None = None


read_usual = typed_reader(UsualLine)
