"""The numbered translation cases between every two wires: what one says, rendered for the other, and read there without the dialect.

A row is a case number, an input and what must hold; it is expanded over every source that can say the input and every target it concerns.
The ids name all three: `case-25-anthropic_messages-to-openai_chat`.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from headgate.dialects import (
    anthropic_messages,
    bedrock_anthropic,
    bedrock_converse,
    gemini_generate,
    ollama_chat,
    openai_chat,
    openai_responses,
)
from headgate.dialects.base import ChatDialect, RenderedRequest, StreamContext
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Block, Cache, Media, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import BlockStart, BlockStop, Delta, Failed, Finished, Ping, Signature, Start, StreamEvent, UsageSeen
from headgate.domain.fold import Fold, fold
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, system_message, user_message
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, HeadgateError, ProviderError, Truncated, Unsupported, WireError
from headgate.testing import samples
from headgate.wire.json import encode


def _sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reading, echoing = _sibling("reading_wires"), _sibling("echoing_wires")

Wire = dict[str, Any]
replace = msgspec.structs.replace

DIALECTS: dict[str, ChatDialect] = {
    module.DIALECT.name: module.DIALECT
    for module in (openai_chat, openai_responses, anthropic_messages, gemini_generate, ollama_chat, bedrock_converse, bedrock_anthropic)
}
ALL = tuple(DIALECTS)
CHAT, RESPONSES, CLAUDE, GEMINI, OLLAMA, CONVERSE, INVOKE = ALL
CLAUDES = (CLAUDE, INVOKE, CONVERSE)
"""Wires on which Claude answers."""
ALTERNATING = (CLAUDE, INVOKE, GEMINI, CONVERSE)
"""Wires on which user and assistant take turns, and results of tools are part of the user's."""
OPENAI = (CHAT, RESPONSES)
FREE = (CHAT, RESPONSES, OLLAMA)
"""Wires on which messages follow one another in any order, system messages too."""
SAME = {(CLAUDE, INVOKE), (INVOKE, CLAUDE)}
"""One wire in two frames: nothing is translated between them."""
CONTEXT = StreamContext(samples.MODEL, "answer-1", samples.CREATED)
THINKER = replace(ANY_MODEL, reasoning="budget")
