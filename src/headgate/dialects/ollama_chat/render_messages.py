"""Writing messages: turns of any origin to this wire's messages.

A message here is one text with images before it. Turns of another origin whose blocks come in another order, or with several texts, become
several messages of the same role, as Ollama's own OpenAI-compatible endpoint does. Tool results become `tool` messages in the order of
their calls (case 10), before the rest of their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headgate.dialects.ollama_chat.calls import is_synthetic, render_call
from headgate.dialects.ollama_chat.messages import render_own_message
from headgate.dialects.ollama_chat.report import Report
from headgate.domain.content import Block, Media, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message, Role
from headgate.errors import Unsupported
from headgate.wire.json import JsonObject


def render_messages(messages: Sequence[Message], report: Report) -> list[JsonObject]:
    """Write every message, in order. Raises `Unsupported` for what must be refused, with `param` naming the message."""
    if report.own:
        return [render_own_message(message, f"messages[{index}]") for index, message in enumerate(messages)]
    turns = _Turns(report)
    for index, message in enumerate(messages):
        turns.add(message, f"messages[{index}]")
    turns.close()
    if not turns.out:
        raise Unsupported("there is nothing to send: Ollama takes a chat without messages for a wish to load the model", param="messages")
    return turns.out


_ROLES: dict[Role, str] = {"system": "system", "developer": "system", "user": "user", "tool": "user", "assistant": "assistant"}
"""The role with which a turn's texts are written."""


def _plain(message: Message) -> str:
    """The text of a turn that says nothing else, "" of any other."""
    if len(message.content) != 1 or message.name is not None or message.extra:
        return ""
    block = message.content[0]
    plain = type(block) is Text and block.cache is None and block.signature is None and not block.extra
    return block.text if plain and isinstance(block, Text) else ""


class _Turns:
    """The messages written so far, the calls made in them, and the results that wait for their place."""

    __slots__ = ("_calls", "_results", "_waiting", "out", "report")

    def __init__(self, report: Report) -> None:
        self.report = report
        self.out: list[JsonObject] = []
        self._calls: dict[str, tuple[int, str]] = {}
        self._results: list[tuple[int, JsonObject]] = []
        self._waiting: dict[str, str] = {}

    def add(self, message: Message, where: str) -> None:
        """Write one turn of another origin."""
        words = _plain(message)
        if words:
            self.flush()
            self.out.append({"role": _ROLES[message.role], "content": words})
            return
        if message.name is not None:
            self.report.drop(f"{where}.name", "Ollama has no names of speakers")
        self.report.drop_extra(message.extra, f"{where}.")
        if message.role == "assistant":
            self.flush()
            self._assistant(message, where)
            return
        rest: list[tuple[str, Block]] = []
        for number, block in enumerate(message.content):
            place = f"{where}.content[{number}]"
            if isinstance(block, ToolResult):
                self._result(block, place, where)
            else:
                rest.append((place, block))
        if rest:
            self.flush()
            self._speak(_ROLES[message.role], rest)

    def flush(self) -> None:
        """Write the results that wait, in the order of their calls."""
        if not self._results:
            return
        self.out += [shape for _, shape in sorted(self._results, key=lambda pair: pair[0])]
        self._results.clear()

    def close(self) -> None:
        """Write what waits. Raises `Unsupported` for a call without a result: none is ever invented (case 11)."""
        self.flush()
        if self._waiting:
            call_id, where = next(iter(self._waiting.items()))
            raise Unsupported(f"{where} calls a tool ({call_id}) and no message brings its result", param=where)

    def _speak(self, role: str, blocks: Sequence[tuple[str, Block]]) -> None:
        """Texts and images of a user or system turn: a text ends its message."""
        images: list[str] = []
        for place, block in blocks:
            if isinstance(block, Media) and block.kind == "image":
                images.append(_image(block, place, self.report))
            elif words := _words(block, place, self.report):
                self.out.append(_spoken(role, words, images))
                images = []
        if images:
            self.out.append(_spoken(role, "", images))

    def _result(self, block: ToolResult, where: str, message: str) -> None:
        report = self.report
        if block.call_id not in self._calls:
            raise Unsupported(f"{message} brings the result of a call ({block.call_id}) that nobody made before it", param=message)
        self._waiting.pop(block.call_id, None)
        if block.is_error:
            report.drop(f"{where}.is_error", "Ollama does not mark failed tools")
        report.drop_rest(block, where)
        order, called = self._calls[block.call_id]
        images = [_image(item, where, report) for item in block.content if isinstance(item, Media) and item.kind == "image"]
        others = [item for item in block.content if not (isinstance(item, Media) and item.kind == "image")]
        shape = _spoken("tool", "".join(_words(item, where, report) for item in others), images)
        shape["tool_name"] = block.name or called
        if not is_synthetic(block.call_id):
            shape["tool_call_id"] = block.call_id
        self._results.append((order, shape))

    def _assistant(self, message: Message, where: str) -> None:
        """A turn of the model: its thoughts, its text, its calls, whatever their order was."""
        thoughts: list[str] = []
        texts: list[str] = []
        calls: list[JsonObject] = []
        moved = False
        for number, block in enumerate(message.content):
            place = f"{where}.content[{number}]"
            if isinstance(block, Thinking):
                thoughts += _thought(block, place, self.report)
            elif isinstance(block, ToolCall):
                calls.append(self._call(block, place))
                self._waiting[block.id] = where
            elif words := _words(block, place, self.report):
                texts.append(words)
                moved = moved or bool(calls)
        if moved:
            self.report.change(f"{where}.content", "text that came after a tool call is written before it")
        if not (thoughts or texts or calls):
            return
        shape: JsonObject = {"role": "assistant", "content": "".join(texts)}
        if thoughts:
            shape["thinking"] = "".join(thoughts)
        if calls:
            shape["tool_calls"] = calls
        self.out.append(shape)

    def _call(self, block: ToolCall, where: str) -> JsonObject:
        self._calls[block.id] = (len(self._calls), block.name)
        self.report.drop_rest(block, where)
        shape = render_call(block)
        if shape is None:
            raise Unsupported(f"{where}.arguments is not a JSON object, as Ollama needs", param=f"{where}.arguments")
        return shape


def _spoken(role: str, words: str, images: list[str]) -> JsonObject:
    shape: JsonObject = {"role": role, "content": words}
    return {**shape, "images": images} if images else shape


def _thought(block: Thinking, where: str, report: Report) -> list[str]:
    """The text of a thought; an encrypted one stays with its provider."""
    report.drop_rest(block, where)
    if block.redacted is not None:
        report.drop(where, "encrypted thoughts belong to the provider that made them")
    return [block.text] if block.text else []


def _image(block: Media, where: str, report: Report) -> str:
    """Bare base64 (case 41). Raises `Unsupported` for an image that is not sent along, or that the model cannot see."""
    if not report.capabilities.vision:
        raise Unsupported(f"{where}: the model does not take images", param=where)
    if block.data is None:
        raise Unsupported(f"{where}: Ollama does not fetch images", param=where, hint="send the image's bytes")
    if block.detail is not None:
        report.drop(f"{where}.detail", "Ollama has no level of detail")
    report.drop_rest(block, where)
    return block.data


def _text(block: Text, where: str, report: Report) -> str:
    report.drop_rest(block, where)
    return block.text


def _refusal(block: Refusal, where: str, report: Report) -> str:
    report.drop_extra(block.extra, f"{where}.")
    return block.text


def _media(block: Media, where: str, report: Report) -> str:
    if block.kind != "document" or block.text is None:
        raise Unsupported(f"{where}: {block.kind} input is not accepted by Ollama", param=where)
    report.change(where, "a text document was sent as text")
    report.drop_rest(block, where)
    return block.text


_WORDS: dict[type, Callable[..., str]] = {Text: _text, Refusal: _refusal, Media: _media}


def _words(block: Block, where: str, report: Report) -> str:
    """What a block says in words, "" when it has no place here (which is reported)."""
    writer = _WORDS.get(type(block))
    if writer is not None:
        return writer(block, where, report)
    report.drop(where, f"{type(block).__name__} has no place in this message at Ollama")
    return ""
