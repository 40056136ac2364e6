"""Tool arguments as this wire's `input`."""

from __future__ import annotations

import pytest

from headgate.dialects.anthropic_messages.compose import INVALID_JSON, tool_input
from headgate.wire.json import Raw, decode, encode


@pytest.mark.parametrize("arguments", ['{"a": 1}', ' {"a": 1}', '{\n "a": 1\n}', '{"a":\r1}', '\n{"a": 1}\n'])
def test_arguments_are_written_on_one_line(arguments: str) -> None:
    wire = encode({"input": tool_input(arguments)})
    assert decode(wire) == {"input": {"a": 1}}
    assert b"\n" not in wire and b"\r" not in wire


def test_arguments_on_one_line_are_not_decoded() -> None:
    assert bytes(tool_input('{"a": 1.0}')) == b'{"a": 1.0}' and tool_input("") == Raw(b"{}")


@pytest.mark.parametrize("arguments", ['{"a":', '{"a":\n', "[1]", "[\n1]", "1"])
def test_anything_but_an_object_travels_under_its_own_key(arguments: str) -> None:
    assert tool_input(arguments) == {INVALID_JSON: arguments}
